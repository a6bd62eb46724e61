"""What a JWT says of its bearer's scopes."""

from __future__ import annotations

import pytest

from lookalike.api.http.access import scopes_of


@pytest.mark.parametrize(
    ("said", "held"),
    [
        ({"claims": {"scope": "openid read"}}, {"read"}),
        ({"claims": {"scope": "lookalike/read lookalike/write"}}, {"read", "write"}),
        ({"claims": {"scp": "[lookalike.read profile]"}}, {"read"}),
        ({"claims": {"scope": "https://api.example.com/lookalike/write"}}, {"write"}),
        ({"claims": {}, "scopes": ["lookalike:read"]}, {"read"}),
        ({"claims": {"scope": "other-api/write mail.read reads prewrite lookalike/admin"}}, set()),
        ({"claims": None, "scopes": None}, set()),
    ],
)
def test_scopes_of_a_token(said, held):
    assert scopes_of(said) == held
