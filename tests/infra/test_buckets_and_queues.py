"""Buckets and queues: private, encrypted, over TLS, connected, and with a place for failures."""

from __future__ import annotations

import pytest

from lookalike.layout import TRASH_DAYS
from lookalike.settings import Settings
from tests.aws_emulator.templates import EVERYTHING, Template, of_type, template, text, texts


@pytest.fixture(scope="module")
def data() -> Template:
    return template()


def bucket(data: Template, role: str) -> Template:
    (found,) = [
        each
        for each in of_type(data, "AWS::S3::Bucket").values()
        if text(each["Properties"]["BucketName"]).startswith(f"lookalike-dev-{role}-")
    ]
    return found


def queue(data: Template, name: str) -> Template:
    (found,) = [
        each
        for each in of_type(data, "AWS::SQS::Queue").values()
        if each["Properties"]["QueueName"] == f"lookalike-dev-{name}"
    ]
    return found


def test_buckets_are_private_and_encrypted(data: Template) -> None:
    buckets = of_type(data, "AWS::S3::Bucket")
    assert len(buckets) == 3
    for each in buckets.values():
        properties = each["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(properties["PublicAccessBlockConfiguration"]) == 4
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert properties["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_buckets_are_spoken_to_over_tls_only(data: Template) -> None:
    policies = of_type(data, "AWS::S3::BucketPolicy").values()
    refusing = {
        text(policy["Properties"]["Bucket"]): policy["Properties"]["PolicyDocument"]["Statement"]
        for policy in policies
    }
    assert set(refusing) == {f"<{name}>" for name in of_type(data, "AWS::S3::Bucket")}
    for statements in refusing.values():
        conditions = [each["Condition"] for each in statements if each["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in conditions
        assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in conditions


def test_queues_are_encrypted_and_spoken_to_over_tls_only(data: Template) -> None:
    queues = of_type(data, "AWS::SQS::Queue")
    assert len(queues) == 4
    assert all(each["Properties"]["SqsManagedSseEnabled"] is True for each in queues.values())
    refusing = set()
    for policy in of_type(data, "AWS::SQS::QueuePolicy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}:
                assert statement["Effect"] == "Deny"
                refusing |= set(texts(policy["Properties"]["Queues"]))
    assert refusing == {f"<{name}>" for name in queues}


def test_what_cannot_be_worked_off_is_kept(data: Template) -> None:
    for name, dead_name in (("uploads", "uploads-dead"), ("builds.fifo", "builds-dead.fifo")):
        redrive = queue(data, name)["Properties"]["RedrivePolicy"]
        assert redrive["maxReceiveCount"] == 20
        (dead_id,) = [key for key, each in data["Resources"].items() if each is queue(data, dead_name)]
        assert text(redrive["deadLetterTargetArn"]) == f"<{dead_id}.Arn>"
        assert queue(data, dead_name)["Properties"]["MessageRetentionPeriod"] == 14 * 86_400


def test_fifo_queues(data: Template) -> None:
    for name in ("builds.fifo", "builds-dead.fifo"):
        properties = queue(data, name)["Properties"]
        assert properties["FifoQueue"] is True
        assert not properties.get("ContentBasedDeduplication")
    assert "FifoQueue" not in queue(data, "uploads")["Properties"]


def test_a_message_stays_invisible_six_times_as_long_as_its_function_may_take(data: Template) -> None:
    functions = {
        each["Properties"]["FunctionName"]: each["Properties"]["Timeout"]
        for each in of_type(data, "AWS::Lambda::Function").values()
    }
    for name, function in (("uploads", "ingest"), ("builds.fifo", "builder")):
        visible = queue(data, name)["Properties"]["VisibilityTimeout"]
        assert visible >= 6 * functions[f"lookalike-dev-{function}"]
        assert visible <= 43_200


def test_the_bucket_tells_the_queue(data: Template) -> None:
    images = bucket(data, "images")
    (uploads_id,) = [key for key, each in data["Resources"].items() if each is queue(data, "uploads")]
    told = images["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    assert {each["Event"] for each in told} == {"s3:ObjectCreated:*", "s3:ObjectRemoved:*"}
    assert {text(each["Queue"]) for each in told} == {f"<{uploads_id}.Arn>"}
    assert "EventBridgeConfiguration" not in images["Properties"]["NotificationConfiguration"]
    # S3 tries it at once, so the permission has to be there before the bucket.
    policies = of_type(data, "AWS::SQS::QueuePolicy")
    (sending,) = [name for name in policies if _sender(policies[name])]
    assert sending in images["DependsOn"]


def test_only_this_bucket_of_this_account_may_send(data: Template) -> None:
    senders = [found for each in of_type(data, "AWS::SQS::QueuePolicy").values() if (found := _sender(each))]
    assert len(senders) == 1
    conditions = senders[0]["Condition"]
    expected = "arn:aws:s3:::lookalike-dev-images-123456789012-us-east-1"
    assert text(conditions["ArnEquals"]["aws:SourceArn"]) == expected
    assert conditions["StringEquals"]["aws:SourceAccount"] == "123456789012"
    assert text(bucket(data, "images")["Properties"]["BucketName"]) == expected.rpartition(":")[2]


def _sender(policy: Template) -> Template | None:
    allowing = [
        each for each in policy["Properties"]["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"
    ]
    return allowing[0] if allowing else None


def test_pictures_can_be_brought_back(data: Template) -> None:
    properties = bucket(data, "images")["Properties"]
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    rules = {rule["Id"]: rule for rule in properties["LifecycleConfiguration"]["Rules"]}
    assert rules["replaced-images"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert rules["replaced-images"]["ExpiredObjectDeleteMarker"] is True


def test_deleted_images_stay_in_the_trash_for_30_days(data: Template) -> None:
    lifecycle = bucket(data, "artifacts")["Properties"]["LifecycleConfiguration"]
    (trash,) = [rule for rule in lifecycle["Rules"] if rule["Id"] == "trash"]
    assert (trash["Prefix"], trash["ExpirationInDays"], trash["Status"]) == ("trash/", 30, "Enabled")
    assert TRASH_DAYS == 30


def test_a_deleted_zip_costs_nothing_from_the_next_day_on(data: Template) -> None:
    rules = bucket(data, "images")["Properties"]["LifecycleConfiguration"]["Rules"]
    (zips,) = [rule for rule in rules if rule["Id"] == "deleted-zips"]
    assert zips["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    # An image is never so large, so this rule takes none.
    assert int(zips["ObjectSizeGreaterThan"]) == Settings().max_image_bytes


def test_uploads_that_were_broken_off_cost_nothing_for_long(data: Template) -> None:
    for each in of_type(data, "AWS::S3::Bucket").values():
        rules = each["Properties"]["LifecycleConfiguration"]["Rules"]
        assert {"DaysAfterInitiation": 2} in [rule.get("AbortIncompleteMultipartUpload") for rule in rules]


def test_who_asked_for_what_is_kept_for_a_while(data: Template) -> None:
    (logs_id,) = [key for key, each in data["Resources"].items() if each is bucket(data, "access-logs")]
    for role in ("images", "artifacts"):
        logging = bucket(data, role)["Properties"]["LoggingConfiguration"]
        assert text(logging["DestinationBucketName"]) == f"<{logs_id}>"
        assert logging["LogFilePrefix"] == f"{role}/"
    rules = bucket(data, "access-logs")["Properties"]["LifecycleConfiguration"]["Rules"]
    assert 30 in [rule.get("ExpirationInDays") for rule in rules]


def test_data_outlives_its_stack_unless_somebody_chose_otherwise() -> None:
    """`RetainExceptOnCreate`: a first deployment that fails leaves no bucket that blocks the next one."""
    for options, policy in (((), "RetainExceptOnCreate"), (EVERYTHING, "Delete")):
        buckets = of_type(template(*options), "AWS::S3::Bucket").values()
        assert {each["DeletionPolicy"] for each in buckets} == {policy}


def test_browsers_may_upload_from_the_api_s_own_page_and_the_chosen_ones(data: Template) -> None:
    own = "https://*.execute-api.us-east-1.amazonaws.com"
    (rule,) = bucket(data, "images")["Properties"]["CorsConfiguration"]["CorsRules"]
    assert texts(rule["AllowedOrigins"]) == [own]
    chosen = template(*EVERYTHING)
    (rule,) = bucket(chosen, "images")["Properties"]["CorsConfiguration"]["CorsRules"]
    assert texts(rule["AllowedOrigins"]) == [own, "https://shop.test"]
    assert set(rule["AllowedMethods"]) == {"GET", "HEAD", "PUT"}
    assert rule["AllowedHeaders"] == ["content-type"]
