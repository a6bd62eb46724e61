"""Notifications of S3: what they say, and what cannot be read."""

from __future__ import annotations

import json

import pytest

from lookalike.aws.deadline import OutOfTime, within
from lookalike.aws.events import Change, NotificationReader
from lookalike.aws.settings import AwsSettings
from lookalike.catalogue import normalise_sequencer
from lookalike.catalogue.sequencer import sequencer_of_time
from lookalike.errors import SettingsError

READER = NotificationReader("s3://photos/all")


def record(name="ObjectCreated:Put", key="all/shop/images/a.jpg", bucket="photos", **entry):
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": "2026-01-02T03:04:05.678Z",
        "eventName": name,
        "s3": {
            "bucket": {"name": bucket},
            "object": {"key": key, "sequencer": "0055AED6DCD90281E5", **entry},
        },
    }


def read(*records):
    return READER.read(json.dumps({"Records": list(records)}))


def test_an_example_of_the_documentation():
    found = read(record(key="all/shop/images/red+flower%2B%C3%BC%2F1.jpg", versionId="v1", size=1))
    assert found.problem is None
    sequencer = "0055aed6dcd90281e5" + 14 * "0"
    assert found.changes == [Change("shop/images/red flower+ü/1.jpg", "created", sequencer, "v1")]
    assert found.changes[0].collection == "shop"


@pytest.mark.parametrize(
    ("name", "version", "kind"),
    [
        ("ObjectCreated:CompleteMultipartUpload", "v", "created"),
        ("s3:ObjectCreated:Copy", None, "created"),
        ("ObjectRemoved:DeleteMarkerCreated", "v", "removed"),
        ("ObjectRemoved:Delete", None, "removed"),
        ("ObjectRemoved:Delete", "v", "version_removed"),
    ],
)
def test_kinds(name, version, kind):
    change = read(record(name, **({"versionId": version} if version else {}))).changes[0]
    assert change.kind == kind
    assert change.version_id == (version if kind == "created" else None)


def test_what_is_none_of_ours_is_left_out():
    found = read(record(key="other/shop/images/a.jpg"), record("ObjectRestore:Completed"))
    assert (found.changes, found.problem) == ([], None)
    test_event = READER.read(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"}))
    assert (test_event.changes, test_event.problem) == ([], None)


@pytest.mark.parametrize(
    "body",
    ["", "no JSON", "null", "3", "[]", "{}", '{"Records": {}}', '{"Records": [null]}', '{"Records": [{}]}'],
)
def test_what_cannot_be_read_says_so(body):
    found = READER.read(body)
    assert found.changes == []
    assert "not a notification of S3" in str(found.problem)


@pytest.mark.parametrize(
    "broken",
    [
        record(bucket="others"),
        record(sequencer="not hexadecimal"),
        record(key="%FF"),
        record(key=None),
        {
            **record(),
            "eventTime": "yesterday",
            "s3": {"bucket": {"name": "photos"}, "object": {"key": "all/x"}},
        },
    ],
)
def test_one_bad_record_does_not_hide_the_others(broken):
    found = read(broken, record())
    assert [change.key for change in found.changes] == ["shop/images/a.jpg"]
    assert found.problem is not None


def test_without_sequencers_the_time_orders():
    times = [
        "2026-01-02T03:04:05.678Z",
        "2026-01-02T03:04:05.679Z",
        "2026-01-02T03:04:06.000Z",
        "2026-01-02T03:04:06+00:00",
        "2026-12-01T00:00:00.001Z",
    ]
    made = [normalise_sequencer(sequencer_of_time(time)) for time in times]
    assert made == sorted(made)
    assert made[2] == made[3]
    assert len(set(made)) == 4
    # Amazon's begin with the seconds too, so that the two kinds compare.
    assert normalise_sequencer("0055AED6DCD90281E5") < made[0]
    assert read(_without_sequencer()).changes[0].sequencer == made[0]


def _without_sequencer():
    made = record()
    del made["s3"]["object"]["sequencer"]
    return made


def test_work_that_is_late_is_left_alone():
    import threading

    gate = threading.Event()
    with pytest.raises(OutOfTime):
        within(0.05, gate.wait)
    gate.set()
    assert within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0)


def test_settings():
    found = AwsSettings.from_env({"LOOKALIKE_AUTH": "jwt", "LOOKALIKE_CACHE_FOLDER": "/x"})
    assert (found.auth, str(found.cache), found.build_queue_url) == ("jwt", "/x", "")
    assert AwsSettings.from_env({}).auth == "keys"
    with pytest.raises(SettingsError, match="keys \\| jwt \\| iam"):
        AwsSettings.from_env({"LOOKALIKE_AUTH": "none"})
