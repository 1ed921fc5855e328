"""Services that the emulator lacks. Importing this loads no model: each operation loads its own on first use."""

from local.services.application_autoscaling import ApplicationAutoScaling
from local.services.comprehend import Comprehend
from local.services.config import Config
from local.services.rekognition import Rekognition
from local.services.sagemaker import SageMaker
from local.services.textract import Textract
from local.services.transcribe import Transcribe
from local.services.translate import Translate
from local.services.wire import JsonService

APPLICATION_AUTOSCALING = ApplicationAutoScaling()
CONFIG = Config()
SAGEMAKER = SageMaker()
SERVICES: tuple[JsonService, ...] = (
    APPLICATION_AUTOSCALING,
    Comprehend(),
    CONFIG,
    Rekognition(),
    SAGEMAKER,
    Textract(),
    Transcribe(),
    Translate(),
)
