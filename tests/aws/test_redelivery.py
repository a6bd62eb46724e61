"""Messages that a function does not finish come back soon, whatever the visibility time-out of the queue."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fixtures.server import eventually

from lookalike.aws.ingest_worker import SLICE_CHANGES
from lookalike.aws.queue import Failures, messages_of
from lookalike.aws.redelivery import Redelivery
from tests.aws_emulator.cloud_collection import CloudCollection, picture
from tests.aws_emulator.deployment import Cloud, cloud
from tests.aws_emulator.event_source_mapping import record_of
from tests.aws_emulator.http_forwarder import HttpForwarder, Request, Response
from tests.aws_emulator.lambda_process import FunctionError, LambdaProcess

CHANGE = "AmazonSQS.ChangeMessageVisibilityBatch"


@dataclass
class Way:
    """Between functions and AWS: notes the changes of visibility that SQS accepted, and may break requests.

    Attributes:
        accepted: receipt handle → the time-outs that SQS accepted, in order, in seconds.
        fault: answers a request instead of AWS; None: AWS answers.
    """

    cloud: Cloud
    accepted: dict[str, list[int]] = field(default_factory=dict)
    fault: Callable[[Request], Response | None] = lambda _: None

    def __post_init__(self) -> None:
        self.forwarder = HttpForwarder(self.cloud.server, self._handle)

    def process(self, function: str) -> LambdaProcess:
        way = {"AWS_ENDPOINT_URL": self.forwarder.url, "LOOKALIKE_S3_ENDPOINT": self.forwarder.url}
        return self.cloud.process(function, **way)

    def _handle(self, request: Request) -> Response:
        if broken := self.fault(request):
            return broken
        response = self.forwarder.forward(request)
        if request.target == CHANGE and response.status == 200:
            given = {entry["Id"]: entry for entry in json.loads(request.body)["Entries"]}
            for done in json.loads(response.body).get("Successful", []):
                entry = given[done["Id"]]
                self.accepted.setdefault(entry["ReceiptHandle"], []).append(entry["VisibilityTimeout"])
        return response


@pytest.fixture(scope="module")
def deployed() -> Iterator[Cloud]:
    with cloud() as made:
        made.bodies("uploads")  # the test event of the notification
        yield made


@pytest.fixture
def way(deployed: Cloud) -> Iterator[Way]:
    found = Way(deployed)
    yield found
    found.forwarder.close()
    for queue in ("uploads", "builds.fifo", "uploads-dead"):
        deployed.bodies(queue)


def no_such_object(pattern: str) -> Callable[[Request], Response | None]:
    """S3 refuses requests about these keys."""
    body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>injected</Message></Error>"

    def fault(request: Request) -> Response | None:
        hit = not request.target and pattern in request.path
        return Response(403, (("Content-Type", "application/xml"),), body) if hit else None

    return fault


def received(cloud: Cloud, queue: str, count: int) -> list[dict[str, Any]]:
    """`count` messages as the event source mapping hands them over."""
    found: list[dict[str, Any]] = []

    def receive() -> bool:
        found.extend(
            cloud.sqs.receive_message(
                QueueUrl=cloud.queue(queue), MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
            ).get("Messages", [])
        )
        return len(found) >= count

    eventually(receive)
    arn = f"arn:aws:sqs:us-east-1:123456789012:{cloud.queue(queue).rsplit('/', 1)[-1]}"
    return [record_of(message, arn) for message in found]


@pytest.mark.parametrize(("function", "queue"), [("ingest", "uploads"), ("builder", "builds.fifo")])
def test_a_failed_message_waits_30_seconds_and_longer_each_time(
    way: Way, tiny_encoder_folder: Path, function: str, queue: str
) -> None:
    shop = CloudCollection(way.cloud, f"broken-{function}", tiny_encoder_folder)
    if function == "ingest":
        shop.put("hat/1.jpg", picture(1))
    else:
        way.cloud.sqs.send_message(
            QueueUrl=way.cloud.queue(queue),
            MessageBody=json.dumps({"collection": shop.name}),
            MessageGroupId=shop.name,
            MessageDeduplicationId=shop.name,
        )
    way.fault = no_such_object(f"collections/{shop.name}/")
    process, waits = way.process(function), []
    for _ in range(5):  # the queue's limit of receives
        (record,) = received(way.cloud, queue, 1)
        answer = process.invoke({"Records": [record]})
        assert answer == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
        waits.append(way.accepted[record["receiptHandle"]][-1])
        way.cloud.sqs.change_message_visibility(
            QueueUrl=way.cloud.queue(queue), ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0
        )
    assert waits == [30, 60, 90, 120, 120]
    process.close()


def test_a_build_that_dies_gives_its_group_back_within_two_minutes(
    way: Way, tiny_encoder_folder: Path
) -> None:
    """Killed for memory, or at Lambda's time limit: no response is sent, and nothing runs afterwards."""
    shop = CloudCollection(way.cloud, "dying", tiny_encoder_folder)
    way.cloud.sqs.send_message(
        QueueUrl=way.cloud.queue("builds.fifo"),
        MessageBody=json.dumps({"collection": shop.name}),
        MessageGroupId=shop.name,
        MessageDeduplicationId=shop.name,
    )
    process, stuck = way.process("builder"), threading.Event()

    def fault(request: Request) -> Response | None:
        if not request.target and f"collections/{shop.name}/" in request.path:
            stuck.set()
            time.sleep(3)
        return None

    way.fault = fault
    (record,) = received(way.cloud, "builds.fifo", 1)
    errors: list[str] = []

    def invoke() -> None:
        try:
            process.invoke({"Records": [record]})
        except FunctionError as error:
            errors.append(error.type)

    caller = threading.Thread(target=invoke)
    caller.start()
    assert stuck.wait(60)
    eventually(lambda: way.accepted.get(record["receiptHandle"]))
    process.kill()
    caller.join(60)
    assert errors == ["Runtime.ExitError"]
    assert way.accepted[record["receiptHandle"]] == [120]
    process.close()


def test_messages_that_were_not_started_come_back_at_once(way: Way, tiny_encoder_folder: Path) -> None:
    shop = CloudCollection(way.cloud, "many", tiny_encoder_folder)
    for number in range(SLICE_CHANGES + 6):
        shop.put(f"hat/{number}.jpg", picture(number))
    records = received(way.cloud, "uploads", SLICE_CHANGES + 6)
    process = way.process("ingest")
    assert process.invoke({"Records": []}) == {"batchItemFailures": []}  # the start does not count

    def slowly(request: Request) -> Response | None:
        if not request.target and "/images/hat/" in request.path:
            time.sleep(0.6)
        return None

    way.fault = slowly
    answer = process.invoke({"Records": records}, timeout=12)
    failed = {entry["itemIdentifier"] for entry in answer["batchItemFailures"]}
    late = [record for record in records[SLICE_CHANGES:] if record["messageId"] in failed]
    assert len(late) == 6
    assert [way.accepted[record["receiptHandle"]] for record in late] == [[0]] * 6
    process.close()


def test_a_message_is_delivered_again_though_its_visibility_cannot_be_changed(
    way: Way, tiny_encoder_folder: Path
) -> None:
    shop = CloudCollection(way.cloud, "mute", tiny_encoder_folder)
    shop.put("hat/1.jpg", picture(1))
    broken = no_such_object(f"collections/{shop.name}/")
    refusal = Response(400, (("Content-Type", "application/x-amz-json-1.0"),), b'{"__type": "AccessDenied"}')
    way.fault = lambda request: refusal if request.target == CHANGE else broken(request)
    process = way.process("ingest")
    (record,) = received(way.cloud, "uploads", 1)
    answer = process.invoke({"Records": [record]})
    assert answer == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    assert "could not be changed" in process.log
    assert way.accepted == {}
    process.close()


def test_the_queue_itself_hides_the_message_as_long_as_it_is_told(deployed: Cloud) -> None:
    """Through a real mapping, with no time-out of its own: a message that was not started is there again."""
    url = deployed.queue("uploads-dead")  # read by no function
    deployed.sqs.send_message(QueueUrl=url, MessageBody="late")
    (record,) = received(deployed, "uploads-dead", 1)
    assert not deployed.sqs.receive_message(QueueUrl=url).get("Messages")
    failures = Failures()
    failures.postpone(messages_of({"Records": [record]}))
    Redelivery(deployed.sqs).hasten(failures, lambda: 10.0)
    (again,) = received(deployed, "uploads-dead", 1)
    assert (again["body"], again["attributes"]["ApproximateReceiveCount"]) == ("late", "2")
