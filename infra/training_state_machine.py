"""The training pipeline as an Amazon States Language document.

```
    ┌──── quota is missing: NoteQuota → WaitForQuota, five times three minutes
    ↓                              │
ChooseSource ─ zip ────────→ TrainOnZip ────────┐
             └ collection ─→ TrainOnCollection ─┴→ Register → IsItToServe ─ no ───────────────────┐
                                                               ├ yes, much to encode → EncodeAll ─┤
                                                               └ yes ──────────────→ Publish ─────┴→ Conclude
```

Every step that fails goes to Conclude, which ends the training's record with a sentence for the user. If
Conclude itself fails, the execution fails and raises the alarm on failed executions. A pure function of
names: the CDK passes its tokens, tests pass their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from infra.training_retries import JOB_RETRIES, SERVICE_RETRY, STORE_RETRY
from lookalike.aws.training.job_log import metric_definitions
from lookalike.aws.training.quota import QUOTA_ERROR, WAIT_SECONDS

State = dict[str, Any]
TaskFunction = Literal["register", "encode", "publish", "conclude"]
JOBS_FOLDER = "training-jobs"
"""Below the artifacts bucket: model artefacts and checkpoints. Its objects expire after a month."""
CHANNEL = "training"
CHECKPOINTS = "/opt/ml/checkpoints"
FUNCTION_SECONDS = 900
SPARE_SECONDS = 60
EXPRESS_SECONDS = 290
"""A batch runs as an express execution, which Step Functions ends after five minutes."""

ANSWERS: Mapping[TaskFunction, tuple[str, ...]] = {
    "register": ("encoder_id", "publish", "missing"),
    "publish": ("published", "reason"),
    "conclude": ("alarm", "reason"),
}
"""The part of a function's response that the machine keeps."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The parameters of the state machine; every string may be a token of the CDK.

    Attributes:
        name: in front of the names of training jobs; at most 35 letters, digits and hyphens.
        image_uri: of the training container.
        role_arn: of the training container.
        images_bucket: what users upload.
        artifacts_bucket: what the system writes.
        functions: ARNs of the functions in `lambdas/ingest/training_steps.py`.
        environment: variables of the training container.
        instance_type: of the training job.
        volume_gb: its disk.
        max_run_seconds: longest run time of a training.
        max_wait_seconds: longest time to wait for spot capacity and run.
        spot: spot instances cost about a third; the training resumes when one is reclaimed.
        batch_items: images that one call of `encode` encodes.
        concurrency: parallel calls of `encode`. All of them commit to one table.
        partition: `aws`, or that of another kind of region.
    """

    name: str
    image_uri: str
    role_arn: str
    images_bucket: str
    artifacts_bucket: str
    functions: Mapping[TaskFunction, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    instance_type: str = "ml.m5.2xlarge"
    volume_gb: int = 50
    max_run_seconds: int = 6 * 3_600
    max_wait_seconds: int = 12 * 3_600
    spot: bool = True
    batch_items: int = 64
    concurrency: int = 10
    partition: str = "aws"


def definition(pipeline: Pipeline) -> dict[str, Any]:
    """The state machine of one training; `lookalike.aws.training.state_machine` makes its input."""
    return {
        "Comment": "One training: train, register, re-encode everything, publish, conclude.",
        "StartAt": "ChooseSource",
        "TimeoutSeconds": pipeline.max_wait_seconds + 24 * 3_600,
        "States": {
            "ChooseSource": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.source", "StringEquals": "zip", "Next": "TrainOnZip"}],
                "Default": "TrainOnCollection",
            },
            "TrainOnZip": _training_job(pipeline, from_zip=True),
            "TrainOnCollection": _training_job(pipeline, from_zip=False),
            "NoteQuota": _note_quota(pipeline),
            "IsQuotaAwaited": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": "$.quota_wait.again", "BooleanEquals": True, "Next": "WaitForQuota"}
                ],
                "Default": "QuotaMissing",
            },
            "WaitForQuota": {"Type": "Wait", "Seconds": WAIT_SECONDS, "Next": "ChooseSource"},
            "QuotaMissing": {
                "Type": "Pass",
                "InputPath": "$.quota",
                "ResultPath": "$.failed.train",
                "Next": "Conclude",
            },
            "Register": _step(pipeline, "register", next_state="IsItToServe"),
            "IsItToServe": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": "$.register.publish", "BooleanEquals": False, "Next": "Conclude"},
                    {"Variable": "$.register.missing", "NumericGreaterThan": 0, "Next": "EncodeAll"},
                ],
                "Default": "Publish",
            },
            "EncodeAll": _encode_all(pipeline),
            "Publish": _step(pipeline, "publish", next_state="Conclude"),
            "Conclude": _conclude(pipeline),
            "HowDidItEnd": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.alarm", "BooleanEquals": True, "Next": "Broken"}],
                "Default": "Ended",
            },
            "Ended": {
                "Type": "Succeed",
                "Comment": "It succeeded, was cancelled, or its source cannot be used for training.",
            },
            "Broken": {"Type": "Fail", "Error": "TrainingFailed", "CausePath": "$.reason"},
        },
    }


def _step(pipeline: Pipeline, function: TaskFunction, *, next_state: str) -> State:
    """A function that gets the whole state, and whose response is added under its name."""
    return {
        **_invoke(pipeline, function, FUNCTION_SECONDS + SPARE_SECONDS),
        "ResultSelector": {f"{name}.$": f"$.Payload.{name}" for name in ANSWERS[function]},
        "ResultPath": f"$.{function}",
        "Catch": _catch(function),
        "Next": next_state,
    }


def _invoke(pipeline: Pipeline, function: TaskFunction, seconds: int) -> State:
    return {
        "Type": "Task",
        "Resource": f"arn:{pipeline.partition}:states:::lambda:invoke",
        "Parameters": {"FunctionName": pipeline.functions[function], "Payload.$": "$"},
        "TimeoutSeconds": seconds,
        "Retry": [dict(SERVICE_RETRY), dict(STORE_RETRY)],
    }


def _catch(step: str) -> list[State]:
    return [{"ErrorEquals": ["States.ALL"], "ResultPath": f"$.failed.{step}", "Next": "Conclude"}]


def _training_job(pipeline: Pipeline, *, from_zip: bool) -> State:
    """SageMaker trains; the step ends with the job."""
    return {
        "Type": "Task",
        "Resource": f"arn:{pipeline.partition}:states:::sagemaker:createTrainingJob.sync",
        "Parameters": _job(pipeline) | (_zip_channel(pipeline) if from_zip else {}),
        "TimeoutSeconds": pipeline.max_wait_seconds + 3_600,
        "ResultSelector": {
            "name.$": "$.TrainingJobName",
            "artefact.$": "$.ModelArtifacts.S3ModelArtifacts",
        },
        "ResultPath": "$.train",
        "Retry": [dict(retry) for retry in JOB_RETRIES],
        "Catch": [
            {"ErrorEquals": [QUOTA_ERROR], "ResultPath": "$.quota", "Next": "NoteQuota"},
            *_catch("train"),
        ],
        "Next": "Register",
    }


def _note_quota(pipeline: Pipeline) -> State:
    """The record says what the training waits for, and how often it did."""
    return {
        **_invoke(pipeline, "conclude", FUNCTION_SECONDS + SPARE_SECONDS),
        "Parameters": {
            "FunctionName": pipeline.functions["conclude"],
            "Payload": {"waits_for": "quota", "training.$": "$"},
        },
        "ResultSelector": {"waits.$": "$.Payload.waits", "again.$": "$.Payload.again"},
        "ResultPath": "$.quota_wait",
        "Catch": _catch("train"),
        "Next": "IsQuotaAwaited",
    }


def _job(pipeline: Pipeline) -> State:
    """The request to SageMaker. A retry has another name, and resumes from the same checkpoints."""
    folder = f"s3://{pipeline.artifacts_bucket}/{JOBS_FOLDER}"
    name = f"'{pipeline.name}-{{}}-{{}}', $$.Execution.Name, $$.State.RetryCount"
    stopping = {"MaxRuntimeInSeconds": pipeline.max_run_seconds}
    if pipeline.spot:
        stopping["MaxWaitTimeInSeconds"] = pipeline.max_wait_seconds
    return {
        "TrainingJobName.$": f"States.Format({name})",
        "AlgorithmSpecification": {
            "TrainingImage": pipeline.image_uri,
            "TrainingInputMode": "File",
            "MetricDefinitions": metric_definitions(),
        },
        "RoleArn": pipeline.role_arn,
        "HyperParameters.$": "$.hyperparameters",
        "Environment": dict(pipeline.environment),
        "OutputDataConfig": {"S3OutputPath": folder},
        "CheckpointConfig": {
            "S3Uri.$": f"States.Format('{folder}/{{}}/checkpoints', $$.Execution.Name)",
            "LocalPath": CHECKPOINTS,
        },
        "ResourceConfig": {
            "InstanceCount": 1,
            "InstanceType": pipeline.instance_type,
            "VolumeSizeInGB": pipeline.volume_gb,
        },
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": pipeline.spot,
    }


def _zip_channel(pipeline: Pipeline) -> State:
    uri = f"States.Format('s3://{pipeline.images_bucket}/{{}}', $.zip_key)"
    return {
        "InputDataConfig": [
            {
                "ChannelName": CHANNEL,
                "ContentType": "application/zip",
                "InputMode": "File",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3DataDistributionType": "FullyReplicated",
                        "S3Uri.$": uri,
                    }
                },
            }
        ]
    }


def _encode_all(pipeline: Pipeline) -> State:
    """Every object of the collection, one batch per call. Publish encodes images that arrive in the
    meantime."""
    batch = {**_invoke(pipeline, "encode", EXPRESS_SECONDS), "ResultSelector": {}, "End": True}
    return {
        "Type": "Map",
        "Label": "EncodeAll",
        "ItemReader": {
            "Resource": f"arn:{pipeline.partition}:states:::s3:listObjectsV2",
            "Parameters": {
                "Bucket": pipeline.images_bucket,
                "Prefix.$": "States.Format('{}/images/', $.collection)",
            },
        },
        "ItemSelector": {"key.$": "$$.Map.Item.Value.Key"},
        "ItemBatcher": {
            "MaxItemsPerBatch": pipeline.batch_items,
            "BatchInput": {
                "collection.$": "$.collection",
                "training_id.$": "$.training_id",
                "encoder_id.$": "$.register.encoder_id",
            },
        },
        "MaxConcurrency": pipeline.concurrency,
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
            "StartAt": "Encode",
            "States": {"Encode": batch},
        },
        # The responses for a million items would not fit into the state, and no step reads them.
        "ResultSelector": {},
        "ResultPath": "$.encode",
        "Catch": _catch("encode"),
        "Next": "Publish",
    }


def _conclude(pipeline: Pipeline) -> State:
    """The last step is the only one without a Catch, so that its failure is visible."""
    return {
        **_invoke(pipeline, "conclude", FUNCTION_SECONDS + SPARE_SECONDS),
        "ResultSelector": {f"{name}.$": f"$.Payload.{name}" for name in ANSWERS["conclude"]},
        "Next": "HowDidItEnd",
    }
