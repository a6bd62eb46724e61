"""The filter language: what it accepts, what it refuses and how, and which rows it finds."""

from __future__ import annotations

import operator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import FilterError
from lookalike.filters import check_filter, evaluate, field_kinds, parse_filter

TABLE = pa.table(
    {
        "id": ["a", "b", "c", "d"],
        "category": ["shoes", "shoes", "hats", None],
        "width": [10, 20, 30, 40],
        "attributes.price": pa.array([5.5, 10.0, None, 50.0]),
        "attributes.stock": pa.array([1, 2**60 + 1, None, -3]),
        "attributes.sale": [True, False, None, True],
        "attributes.width": ["narrow", "wide", None, None],
        "attributes.any": ["x", None, "y", None],
        "attributes.empty": pa.nulls(4),
        "perceptual_hash": pa.array([b"1", b"2", b"3", None]),
    }
)


def found(body: object) -> str:
    mask = evaluate(parse_filter(body), TABLE)
    assert mask.dtype == bool
    assert mask.shape == (4,)
    return "".join(id_ for id_, kept in zip("abcd", mask, strict=True) if kept)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "abcd"),
        ({"category": "shoes"}, "ab"),
        ({"category": {"eq": "shoes"}}, "ab"),
        ({"category": {"ne": "shoes"}}, "cd"),
        ({"category": None}, "d"),
        ({"category": {"ne": None}}, "abc"),
        ({"category": {"exists": True}}, "abc"),
        ({"category": {"exists": False}}, "d"),
        ({"category": {"in": ["hats", "caps"]}}, "c"),
        ({"category": {"in": []}}, ""),
        ({"category": {"gte": "hats", "lt": "shoes"}}, "c"),
        ({"price": {"gte": 10, "lt": 50}}, "b"),
        ({"price": {"gt": 10}}, "d"),
        ({"price": {"lte": 10}}, "ab"),
        ({"price": 10}, "b"),
        ({"price": {"in": [10, 5.5]}}, "ab"),
        ({"stock": {"gt": 0.5}}, "ab"),
        ({"stock": 2**60 + 1}, "b"),
        ({"stock": {"in": [1, -3.0]}}, "ad"),
        ({"stock": {"lt": 10**30}}, "abd"),
        ({"stock": {"lt": 10**400}}, "abd"),
        ({"sale": True}, "ad"),
        ({"sale": {"in": [True, False]}}, "abd"),
        ({"width": 10}, "a"),
        ({"attributes.width": "wide"}, "b"),
        ({"attributes.any": "y"}, "c"),
        ({"empty": 3}, ""),
        ({"empty": "x"}, ""),
        ({"empty": None}, "abcd"),
        ({"not": {"category": "shoes"}}, "cd"),
        ({"not": {}}, ""),
        ({"any": [{"category": "hats"}, {"price": {"lt": 6}}]}, "ac"),
        ({"width": {"gte": 20}, "any": [{"sale": True}, {"sale": None}]}, "cd"),
        ({"not": {"any": [{"id": "a"}, {"id": {"in": ["b", "c"]}}]}}, "d"),
    ],
)
def test_finds(body: object, expected: str) -> None:
    assert found(body) == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("shoes", ["must be an object", "'shoes'"]),
        ([], ["must be an object"]),
        ({"any": []}, ["'any'", "at least one"]),
        ({"any": {"category": "x"}}, ["'any'", "list"]),
        ({"not": [{"category": "x"}]}, ["must be an object"]),
        ({"category": ["a", "b"]}, ['{"in": [...]}']),
        ({"category": {}}, ["no operator", "gte"]),
        ({"category": {"eqq": "a"}}, ["unknown operator", "Did you mean eq?"]),
        ({"category": {"in": "a"}}, ["a list"]),
        ({"category": {"in": ["a", None]}}, ["null"]),
        ({"category": {"in": [["a"]]}}, ["['a']", "text"]),
        ({"category": {"in": ["a"] * 1001}}, ["1001 values", "1000"]),
        ({"category": {"exists": 1}}, ["true or false"]),
        ({"price": {"gte": None}}, ["null", "number"]),
        ({"price": {"gte": "10"}}, ["'10'", "a number"]),
        ({"price": True}, ["True", "a number"]),
        ({"category": 3}, ["3", "text"]),
        ({"sale": 1}, ["1", "true or false"]),
        ({"sale": {"gt": False}}, ["gt", "eq, ne, in or exists"]),
        ({"categry": "shoes"}, ["unknown field", "category"]),
        ({"prize": 3}, ["unknown field", "price"]),
        ({"perceptual_hash": "1"}, ["unknown field"]),
        ({"not": {"any": [{"nowhere": 1}]}}, ["unknown field", "'nowhere'"]),
        ({"any": [{"category": "x"}] * 101}, ["101", "100"]),
    ],
)
def test_refuses(body: object, words: list[str]) -> None:
    with pytest.raises(FilterError) as refusal:
        found(body)
    for word in words:
        assert word in str(refusal.value)


def test_refuses_depth_without_exhausting_the_stack() -> None:
    body: dict[str, object] = {"category": "x"}
    for _ in range(500):
        body = {"not": body}
    with pytest.raises(FilterError, match="too deeply"):
        parse_filter(body)


def test_a_field_known_elsewhere_has_no_value_here() -> None:
    known = {**field_kinds(TABLE.schema), "attributes.colour": "text"}
    assert evaluate(parse_filter({"colour": "red"}), TABLE, known).sum() == 0
    assert evaluate(parse_filter({"colour": {"ne": "red"}}), TABLE, known).sum() == 4
    with pytest.raises(FilterError, match="expected text"):
        evaluate(parse_filter({"colour": 3}), TABLE, known)


def test_an_unknown_field_is_refused_however_the_rest_evaluates() -> None:
    with pytest.raises(FilterError):
        check_filter(parse_filter({"any": [{"width": 10}, {"wdth": 10}]}), field_kinds(TABLE.schema))


def test_works_on_chunked_and_on_empty_tables() -> None:
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1, 3)])
    assert evaluate(parse_filter({"category": "shoes"}), chunked).tolist() == [True, True, False, False]
    assert evaluate(parse_filter({"category": "shoes"}), TABLE.slice(0, 0)).shape == (0,)


COMPARE = {"eq": operator.eq, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
numbers = st.integers(-5, 5) | st.sampled_from([-1.5, 0.5, 2.0])
leaves = st.builds(
    lambda field, op, value: {field: {op: value}},
    st.sampled_from(["x", "y"]),
    st.sampled_from(list(COMPARE)),
    numbers,
)
filters = st.recursive(
    leaves,
    lambda inner: (
        st.builds(lambda part: {"not": part}, inner)
        | st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=6,
)


def by_hand(body: dict[str, object], row: dict[str, object]) -> bool:
    """The same language read row by row in plain Python."""
    for key, value in body.items():
        if key == "any":
            kept = any(by_hand(part, row) for part in value)
        elif key == "not":
            kept = not by_hand(value, row)
        else:
            kept = all(row[key] is not None and COMPARE[op](row[key], than) for op, than in value.items())
        if not kept:
            return False
    return True


@given(
    body=filters,
    rows=st.lists(
        st.fixed_dictionaries(
            {"x": st.none() | st.integers(-5, 5), "y": st.none() | st.sampled_from([-1.5, 0.0, 2.0])}
        ),
        max_size=6,
    ),
)
def test_agrees_with_the_same_language_in_plain_python(body: dict, rows: list[dict]) -> None:
    table = pa.table(
        {
            "attributes.x": pa.array([row["x"] for row in rows], pa.int64()),
            "attributes.y": pa.array([row["y"] for row in rows], pa.float64()),
        }
    )
    assert evaluate(parse_filter(body), table).tolist() == [by_hand(body, row) for row in rows]
