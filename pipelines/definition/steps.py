"""The steps that training pipelines share. Each function makes one; a case's `pipeline.py` puts them together.

All jobs are isolated from the network, encrypt their volumes and outputs with the stack's key, and encrypt what
instances say to each other. Each kind of job has its own role. A step that failed for SageMaker's reasons is tried
again; one whose script says no (bad data, for instance) is not.

**Code.** A processing job unpacks the source archive itself. The training job is in script mode: the archive comes as
the channel `code`, and `sagemaker_submit_directory` names the file in it, because an isolated container could not fetch
it from S3. (Version 2 of the SageMaker SDK does the same for isolated jobs.)

**One instance a job.** Data of this kind fits one many times over; the scripts are written for one.

**Caching.** A step is taken from an earlier execution where its image, command, environment, inputs and hyperparameters
are the same. SageMaker does not look at what lies at an input's location, so whoever starts an execution says which
data it is, in `DataVersion`. Checkpoints lie beside the outputs of the Prepare step that they belong to: with an
execution's id among the training job's attributes, no training would ever be taken from the cache.

**The model in production.** A pipeline has no "if" for an input. So `ProductionModelUri` always names an archive:
whoever starts an execution gives the `model.tar.gz` of the approved model package. The default is the source archive,
which says of itself that it is no model (`no-model.txt`). Evaluate asks both models about the same rows.

**Spot.** Training runs on spot capacity and resumes from checkpoints. SageMaker takes a waiting time if and only if
spot is on, so this cannot be a parameter: `pipelines.definition.load` takes it out of a definition.

**The baseline** is made of a model that is going to be registered, and of nothing else: from what it was trained with,
and from its answers to the test part.

Sources: Amazon SageMaker AI Developer Guide, "Default cache key attributes by pipeline step type", "Retry Policy for
Pipeline Steps", "Managed Spot Training in Amazon SageMaker AI"; sources of AWS's sagemaker-containers
(`_modules.run_module`, `_files.download_and_extract`); read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagemaker.core.drift_check_baselines import DriftCheckBaselines
from sagemaker.core.metadata_properties import MetadataProperties
from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.network import NetworkConfig
from sagemaker.core.processing import Processor
from sagemaker.core.shapes import (
    CheckpointConfig,
    MetricDefinition,
    OutputDataConfig,
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
    StoppingCondition,
)
from sagemaker.core.training.configs import Compute, InputData, Networking
from sagemaker.core.workflow.conditions import ConditionGreaterThan, ConditionGreaterThanOrEqualTo
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.retry import (
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer

from pipelines.definition.placeholders import (
    DATA_PREFIX,
    DATA_VERSION,
    INPUT_DATA_URI,
    MODELS_PREFIX,
    PRODUCTION_MODEL_URI,
    RUNS_PREFIX,
    placeholder,
)
from pipelines.definition.session import stand_in

METRICS = ("recall", "precision", "f1", "f2", "accuracy", "auc", "pr_auc")
PREPARED = ("train", "validation", "test", "baseline", "preprocessing", "report")
BASELINE = ("statistics.json", "constraints.json")

_PROCESSING = "/opt/ml/processing"
_INPUTS, _OUTPUTS, _CODE = f"{_PROCESSING}/input", f"{_PROCESSING}/output", f"{_PROCESSING}/code"
_MESSAGE = "/opt/ml/output/message"
# Runs a module of the source archive, which may have any name, with the container's arguments.
_UNPACK_AND_RUN = (
    f'mkdir -p {_CODE} && cd {_CODE} && tar -xzf {_INPUTS}/code/*.tar.gz --no-same-owner && exec python3 -m "$0" "$@"'
)
_GROUP = placeholder("ModelPackageGroupName")
# Small enough for any account's first quota, and as much as data of this size can use.
_INSTANCE = "ml.m5.large"


@dataclass(frozen=True)
class Parameters:
    """What may be set when an execution is started; each has a default. (`DataVersion` too: see above.)"""

    metric: ParameterString
    threshold: ParameterFloat
    data: ParameterString = field(
        default_factory=lambda: ParameterString(
            INPUT_DATA_URI, default_value=f"s3://{placeholder('DataBucket')}/{DATA_PREFIX}"
        )
    )
    data_version: ParameterString = field(default_factory=lambda: ParameterString(DATA_VERSION, default_value="first"))
    production: ParameterString = field(
        default_factory=lambda: ParameterString(PRODUCTION_MODEL_URI, default_value=stand_in("CodeUri"))
    )
    approval: ParameterString = field(
        default_factory=lambda: ParameterString(
            "ModelApprovalStatus",
            default_value="PendingManualApproval",
            enum_values=["PendingManualApproval", "Approved", "Rejected"],
        )
    )
    processing_instance: ParameterString = field(
        default_factory=lambda: ParameterString("ProcessingInstanceType", default_value=_INSTANCE)
    )
    training_instance: ParameterString = field(
        default_factory=lambda: ParameterString("TrainingInstanceType", default_value=_INSTANCE)
    )
    seconds: ParameterInteger = field(default_factory=lambda: ParameterInteger("MaxRuntimeSeconds", default_value=1800))
    spot_seconds: ParameterInteger = field(
        default_factory=lambda: ParameterInteger("MaxSpotWaitSeconds", default_value=7200)
    )

    @classmethod
    def of(cls, *, metric: str, threshold: float) -> Parameters:
        """The parameters with what a case decides by: the metric's name and the value that it must reach."""
        return cls(
            ParameterString("Metric", default_value=metric, enum_values=list(METRICS)),
            ParameterFloat("MetricThreshold", default_value=threshold),
        )

    def all(self) -> list[Any]:
        """In the order in which a definition lists them."""
        return [
            self.data,
            self.data_version,
            self.production,
            self.metric,
            self.threshold,
            self.approval,
            self.processing_instance,
            self.training_instance,
            self.seconds,
            self.spot_seconds,
        ]


class Steps:
    """Makes the steps of one pipeline, which share its session and its parameters."""

    def __init__(self, session: Any, parameters: Parameters) -> None:
        self._session = session
        self._parameters = parameters

    def prepare(self) -> ProcessingStep:
        """Prepare: check, split, fit; its outputs are `PREPARED`."""
        return self._processing(
            "Prepare",
            placeholder("SklearnImage"),
            "prepare",
            inputs={"data": self._parameters.data},
            outputs=PREPARED,
            arguments={
                "input": f"{_INPUTS}/data",
                "schema": f"{_CODE}/schema.json",
                "output": _OUTPUTS,
                "message": _MESSAGE,
                "data-version": self._parameters.data_version,
            },
        )

    def baseline(self, prepare: ProcessingStep, evaluation: Evaluation) -> ProcessingStep:
        """Baseline: what the monitor compares with (`pipelines/monitoring`); its output has the files `BASELINE`."""
        return self._processing(
            "Baseline",
            placeholder("SklearnImage"),
            "pipelines.monitoring.baseline",
            inputs={
                "data": _output(prepare, "baseline"),
                "predictions": _output(evaluation.step, "predictions"),
            },
            outputs=("baseline",),
            arguments={
                "data": f"{_INPUTS}/data",
                "predictions": f"{_INPUTS}/predictions",
                "schema": f"{_CODE}/schema.json",
                "output": f"{_OUTPUTS}/baseline",
            },
        )

    def train(self, prepare: ProcessingStep, hyperparameters: Mapping[str, Any]) -> TrainingStep:
        """Train: the model's artefact (see `pipelines/jobs/train.py`, and there for the hyperparameters)."""
        trainer = ModelTrainer(
            training_image=placeholder("XGBoostImage"),
            role=stand_in("TrainingRoleArn"),
            base_job_name="train",
            sagemaker_session=self._session,
            compute=Compute(
                instance_type=self._parameters.training_instance,
                instance_count=1,
                volume_size_in_gb=10,
                volume_kms_key_id=placeholder("KeyArn"),
                enable_managed_spot_training=True,
            ),
            networking=Networking(enable_network_isolation=True, enable_inter_container_traffic_encryption=True),
            stopping_condition=StoppingCondition.model_construct(
                max_runtime_in_seconds=self._parameters.seconds,
                max_wait_time_in_seconds=self._parameters.spot_seconds,
            ),
            output_data_config=OutputDataConfig(s3_output_path=_models(), kms_key_id=placeholder("KeyArn")),
            checkpoint_config=CheckpointConfig(
                s3_uri=Join(on="/", values=[_output(prepare, "report"), "checkpoints"]),
                local_path="/opt/ml/checkpoints",
            ),
            hyperparameters={
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": f"/opt/ml/input/data/code/{placeholder('CodeFile')}",
                "checkpoints": "/opt/ml/checkpoints",
                **hyperparameters,
            },
            input_data_config=[
                *(
                    InputData(channel_name=name, data_source=_output(prepare, name), content_type=kind)
                    for name, kind in (
                        ("train", "text/csv"),
                        ("validation", "text/csv"),
                        ("preprocessing", "application/json"),
                    )
                ),
                InputData(channel_name="code", data_source=stand_in("CodeUri")),
            ],
        ).with_metric_definitions(
            [
                MetricDefinition(name=f"{part}:{metric}", regex=rf"{part}-{metric}:([0-9.]+)")
                for part in ("train", "validation")
                for metric in ("logloss", "auc", "aucpr")
            ]
        )
        return TrainingStep(
            name="Train", step_args=trainer.train(), cache_config=_cache(), retry_policies=_job_retries()
        )

    def evaluate(self, prepare: ProcessingStep, train: TrainingStep) -> Evaluation:
        """Evaluate: the new model and the one in production on the same rows (see `pipelines/jobs/evaluate.py`)."""
        report = PropertyFile(name="Evaluation", output_name="evaluation", path="evaluation.json")
        step = self._processing(
            "Evaluate",
            placeholder("XGBoostImage"),
            "evaluate",
            inputs={
                "model": train.properties.ModelArtifacts.S3ModelArtifacts,
                "production": self._parameters.production,
                "test": _output(prepare, "test"),
                "train": _output(prepare, "train"),
            },
            outputs=("evaluation", "predictions"),
            arguments={
                **{name: f"{_INPUTS}/{name}" for name in ("model", "production", "test", "train")},
                "metric": self._parameters.metric,
                "output": f"{_OUTPUTS}/evaluation",
                "predictions": f"{_OUTPUTS}/predictions",
                "message": _MESSAGE,
            },
            property_files=[report],
        )
        return Evaluation(step, report)

    def register(self, train: TrainingStep, evaluation: Evaluation, baseline: ProcessingStep) -> ModelStep:
        """Register: a model package that carries its metrics, its baseline and where it comes from."""
        quality = _metrics(evaluation.step, "evaluation", "evaluation.json")
        statistics, constraints = (_metrics(baseline, "baseline", name) for name in BASELINE)
        model = ModelBuilder(
            s3_model_data_url=train.properties.ModelArtifacts.S3ModelArtifacts,
            image_uri=placeholder("XGBoostImage"),
            role_arn=stand_in("ProcessingRoleArn"),
            sagemaker_session=self._session,
            env_vars={
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
            },
        )
        return ModelStep(
            name="Register",
            retry_policies=[_service_retries()],
            step_args=model.register(
                model_package_group_name=_GROUP,
                content_types=["text/csv", "application/json"],
                response_types=["application/json", "text/csv"],
                inference_instances=["ml.t2.medium", "ml.m5.large", "ml.m5.xlarge", "ml.c5.large"],
                transform_instances=["ml.m5.large"],
                approval_status=self._parameters.approval,
                model_metrics=ModelMetrics(
                    model_statistics=quality, model_data_statistics=statistics, model_data_constraints=constraints
                ),
                drift_check_baselines=DriftCheckBaselines(
                    model_statistics=quality, model_data_statistics=statistics, model_data_constraints=constraints
                ),
                metadata_properties=MetadataProperties(generated_by=ExecutionVariables.PIPELINE_EXECUTION_ARN),
                customer_metadata_properties={
                    "InputDataUri": self._parameters.data,
                    "DataVersion": self._parameters.data_version,
                    "CodeUri": stand_in("CodeUri"),
                    "TrainingJobName": train.properties.TrainingJobName,
                    "EvaluationUri": _output(evaluation.step, "evaluation"),
                },
            ),
        )

    def fail(self, evaluation: Evaluation) -> FailStep:
        """Fail: with the reason, and where the figures are."""
        return FailStep(
            name="NotGoodEnough",
            error_message=Join(
                on=" ",
                values=[
                    "The new model is not registered: its",
                    self._parameters.metric,
                    "on the test part is below",
                    self._parameters.threshold,
                    "or not above that of the model in production. See evaluation.json in",
                    _output(evaluation.step, "evaluation"),
                ],
            ),
        )

    def condition(self, evaluation: Evaluation, *, then: list[Any], otherwise: list[Any]) -> ConditionStep:
        """Condition: better than the threshold, and than the model in production."""
        return ConditionStep(
            name="IsGoodEnough",
            conditions=[
                ConditionGreaterThanOrEqualTo(left=evaluation.selected("value"), right=self._parameters.threshold),
                ConditionGreaterThan(left=evaluation.selected("value"), right=evaluation.selected("to_beat")),
            ],
            if_steps=then,
            else_steps=otherwise,
        )

    def pipeline(self, steps: list[Any]) -> Pipeline:
        """The whole. Its name is the stack's affair."""
        return Pipeline(
            name="pipeline",
            parameters=self._parameters.all(),
            steps=steps,
            sagemaker_session=self._session,
            # Executions are found by their pipeline; an experiment each would need more rights.
            pipeline_experiment_config=None,
        )

    def _processing(
        self,
        name: str,
        image: str,
        module: str,
        *,
        inputs: Mapping[str, Any],
        outputs: Sequence[str],
        arguments: Mapping[str, Any],
        property_files: list[PropertyFile] | None = None,
    ) -> ProcessingStep:
        processor = Processor(
            role=stand_in("ProcessingRoleArn"),
            image_uri=image,
            entrypoint=["bash", "-c", _UNPACK_AND_RUN, module],
            instance_type=self._parameters.processing_instance,
            instance_count=1,
            volume_size_in_gb=10,
            volume_kms_key=placeholder("KeyArn"),
            output_kms_key=placeholder("KeyArn"),
            max_runtime_in_seconds=self._parameters.seconds,
            base_job_name=name.lower(),
            sagemaker_session=self._session,
            network_config=NetworkConfig(enable_network_isolation=True, encrypt_inter_container_traffic=True),
        )
        request = processor.run(
            inputs=[_input(key, uri) for key, uri in {**inputs, "code": stand_in("CodeUri")}.items()],
            outputs=[_output_of_run(name, key) for key in outputs],
            arguments=[word for name, value in arguments.items() for word in (f"--{name}", value)],
        )
        return ProcessingStep(
            name=name,
            step_args=request,
            property_files=property_files,
            cache_config=_cache(),
            retry_policies=_job_retries(),
        )


@dataclass(frozen=True)
class Evaluation:
    """The evaluation step and the report that the condition reads."""

    step: ProcessingStep
    report: PropertyFile

    def selected(self, name: str) -> JsonGet:
        """A figure that the pipeline decides by: `value` or `to_beat`."""
        return JsonGet(step_name=self.step.name, property_file=self.report, json_path=f"selection.{name}")


def _models() -> Join:
    return Join(
        on="/",
        values=[
            f"s3://{placeholder('DataBucket')}/{MODELS_PREFIX.rstrip('/')}",
            ExecutionVariables.PIPELINE_EXECUTION_ID,
        ],
    )


def _input(name: str, uri: Any) -> ProcessingInput:
    return ProcessingInput(
        input_name=name,
        s3_input=ProcessingS3Input(
            s3_uri=uri,
            local_path=f"{_INPUTS}/{name}",
            s3_data_type="S3Prefix",
            s3_input_mode="File",
            s3_data_distribution_type="FullyReplicated",
            s3_compression_type="None",
        ),
    )


def _output_of_run(step: str, name: str) -> ProcessingOutput:
    runs = f"s3://{placeholder('DataBucket')}/{RUNS_PREFIX.rstrip('/')}"
    return ProcessingOutput(
        output_name=name,
        s3_output=ProcessingS3Output(
            s3_uri=Join(on="/", values=[runs, ExecutionVariables.PIPELINE_EXECUTION_ID, step.lower(), name]),
            local_path=f"{_OUTPUTS}/{name}",
            s3_upload_mode="EndOfJob",
        ),
    )


def _output(step: ProcessingStep, name: str) -> Any:
    """Where an output of a step lies. Of a step that was taken from the cache: where it lies since then."""
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def _metrics(step: ProcessingStep, output: str, file: str) -> MetricsSource:
    return MetricsSource(content_type="application/json", s3_uri=Join(on="/", values=[_output(step, output), file]))


def _cache() -> CacheConfig:
    return CacheConfig(enable_caching=True, expire_after="30d")


def _service_retries() -> StepRetryPolicy:
    return StepRetryPolicy(
        exception_types=[StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
        interval_seconds=5,
        backoff_rate=2.0,
        max_attempts=5,
    )


def _job_retries() -> list[Any]:
    return [
        _service_retries(),
        SageMakerJobStepRetryPolicy(
            exception_types=[SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT],
            failure_reason_types=[
                SageMakerJobExceptionTypeEnum.INTERNAL_ERROR,
                SageMakerJobExceptionTypeEnum.CAPACITY_ERROR,
            ],
            interval_seconds=60,
            backoff_rate=2.0,
            max_attempts=3,
        ),
    ]
