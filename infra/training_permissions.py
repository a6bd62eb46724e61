"""What the state machine and the training container may do."""

from __future__ import annotations

from infra.grant import Grant
from infra.names import Names
from infra.training_state_machine import JOBS_FOLDER, TaskFunction

STEPS: tuple[TaskFunction, ...] = ("register", "encode", "publish", "conclude")
JOB_LOGS = "/aws/sagemaker/TrainingJobs"
_RULE = "rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule"
_OBJECTS = "Users and SageMaker name images and job files; the prefix is as narrow as possible."


def machine_grants(names: Names, job_role_arn: str, *, tracing: bool = False) -> list[Grant]:
    """Everything that the state machine's role allows; `tracing`: it also writes traces."""
    return [
        Grant(("lambda:InvokeFunction",), tuple(names.function_arn(step) for step in STEPS)),
        Grant(
            tuple(
                f"sagemaker:{action}"
                for action in (
                    "CreateTrainingJob",
                    "DescribeTrainingJob",
                    "StopTrainingJob",
                    "AddTags",
                    "ListTags",
                )
            ),
            (names.training_jobs_arn,),
            "A job is named after its training.",
        ),
        Grant(
            ("iam:PassRole",),
            (job_role_arn,),
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        # How Step Functions learns that a job has ended (.sync).
        Grant(("events:PutTargets", "events:PutRule", "events:DescribeRule"), (names.arn("events", _RULE),)),
        Grant(("states:StartExecution",), (names.machine_arn,)),
        Grant(
            ("states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"),
            (names.arn("states", f"execution:{names.machine}/*"),),
            "The executions of the Distributed Map are named by Step Functions.",
        ),
        Grant(("s3:ListBucket",), (names.bucket_arn(names.images),)),
        Grant(
            (
                *(f"logs:{verb}LogDelivery" for verb in ("Create", "Get", "Update", "Delete")),
                "logs:ListLogDeliveries",
                "logs:PutResourcePolicy",
                "logs:DescribeResourcePolicies",
                "logs:DescribeLogGroups",
            ),
            ("*",),
            "Log deliveries have no ARNs; Step Functions needs these to write its log.",
        ),
        *([TRACES] if tracing else []),
    ]


TRACES = Grant(
    (
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
    ),
    ("*",),
    "X-Ray has no resources to name for writing traces.",
)


def job_grants(names: Names, repository_arn: str) -> list[Grant]:
    """Everything that the training container's role allows."""
    images, artifacts = names.images, names.artifacts
    jobs = names.bucket_arn(artifacts, f"{JOBS_FOLDER}/*")
    return [
        Grant(
            ("s3:ListBucket", "s3:GetObject"),
            (
                names.bucket_arn(images),
                names.bucket_arn(images, "*/images/*"),
                names.bucket_arn(images, "*/metadata/*"),
                names.bucket_arn(images, "*/training/*"),
                names.bucket_arn(artifacts),
                names.bucket_arn(artifacts, "encoders/*"),
                names.bucket_arn(artifacts, "collections/*"),
                jobs,
            ),
            _OBJECTS,
        ),
        # It updates its record while it runs.
        Grant(
            ("s3:PutObject", "s3:AbortMultipartUpload"),
            (jobs, names.bucket_arn(artifacts, "collections/*/trainings/*")),
            _OBJECTS,
        ),
        Grant(
            ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"),
            (repository_arn,),
        ),
        Grant(("ecr:GetAuthorizationToken",), ("*",), "A token for ECR is for the whole registry."),
        Grant(
            ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"),
            (names.arn("logs", f"log-group:{JOB_LOGS}:*"),),
            "SageMaker names the streams of its log group.",
        ),
        Grant(
            ("cloudwatch:PutMetricData",),
            ("*",),
            "Metrics have no ARNs; the condition names the only namespace.",
            conditions={"StringEquals": {"cloudwatch:namespace": JOB_LOGS}},
        ),
    ]
