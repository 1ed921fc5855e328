"""Amazon SageMaker: jobs, the model registry, pipelines, endpoints and monitoring schedules, one module each.

Every part is made with the same records and gives the operations that it serves. What is real and what is not is said
in each module, and in `docs/local-cloud.md`.
"""

from collections.abc import Mapping
from typing import ClassVar

from local.services.sagemaker.endpoints import Endpoints
from local.services.sagemaker.models import Models
from local.services.sagemaker.notebooks import Notebooks
from local.services.sagemaker.pipelines import Pipelines
from local.services.sagemaker.processing import Processing
from local.services.sagemaker.records import Part, Records
from local.services.sagemaker.registry import Registry
from local.services.sagemaker.schedules import Schedules
from local.services.sagemaker.studio import Studio
from local.services.sagemaker.training import Training
from local.services.sagemaker.transform import Transform
from local.services.wire import JsonService, Operation


class SageMaker(JsonService):
    """The control plane: `aws sagemaker`. Invoking an endpoint is a service of its own, `sagemaker-runtime`."""

    name: ClassVar[str] = "sagemaker"
    iam_namespace: ClassVar[str] = "sagemaker"
    target_prefix: ClassVar[str] = "SageMaker"

    def __init__(self) -> None:
        self.records = Records()
        self.models = Models(self.records)
        self.endpoints = Endpoints(self.records, self.models)
        processing = Processing(self.records)
        self.parts: tuple[Part, ...] = (
            self.records,
            processing,
            Training(self.records),
            self.models,
            self.endpoints,
            Transform(self.records, self.models),
            Registry(self.records),
            Pipelines(self.records),
            Schedules(self.records, processing),
            Notebooks(self.records),
            Studio(self.records),
        )

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name: those of all parts."""
        return {name: operation for part in self.parts for name, operation in part.operations().items()}
