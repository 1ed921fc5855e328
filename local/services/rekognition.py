"""Amazon Rekognition, image operations only."""

from collections.abc import Mapping
from typing import ClassVar

from local.services.wire import JsonService, Operation


class Rekognition(JsonService):
    """DetectLabels, DetectText, DetectFaces and DetectModerationLabels with small real models."""

    name: ClassVar[str] = "rekognition"
    iam_namespace: ClassVar[str] = "rekognition"
    target_prefix: ClassVar[str] = "RekognitionService"

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {}
