"""Frontal faces in a picture."""

import functools
import math
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

# "To be detected, a face must be no smaller than 40x40 pixels in an image with 1920X1080 pixels", and proportionally in
# larger ones: "Guidelines and quotas in Amazon Rekognition", Amazon Rekognition Developer Guide, read 2026-11-23.
_SMALLEST_FACE = 40
_REFERENCE = (1920, 1080)

# What the cascade's last stage gives ("level weight") becomes a confidence by a logistic curve through two points. Of
# the faces in scikit-image's LFW subset 95 % have 3.66 or more; in its photographs without faces the highest is 0.78
# (heads engraved on coins, faces of a kind, reach 3.48). So 3.66 means 95 %, 0.78 means 5 %, and below 95 % is no face.
_SURE_WEIGHT, _UNSURE_WEIGHT = 3.66, 0.78
_MINIMUM_CONFIDENCE = 95.0

_SHARPNESS_SIDE = 128
_SHARPNESS_HALF = 100.0

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Face:
    """A face. The box is in fractions of the picture's sides; the rest in percent.

    `brightness` is the mean luma of the box. `sharpness` is v / (v + 100), where v is the variance of the Laplacian of
    the box at 128x128 pixels. Both follow the pixels; their scales are this module's own.
    """

    left: float
    top: float
    width: float
    height: float
    confidence: float
    brightness: float
    sharpness: float


class FaceModel:
    """OpenCV's Haar cascade for frontal faces. Finds boxes, nothing inside them. Answers one caller at a time."""

    def __init__(self) -> None:
        import cv2

        self._cv2 = cv2
        folder = Path(cv2.__file__).parent / "data"
        self._cascade = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))
        self._turn = threading.Lock()

    def find(self, pixels: Image.Image) -> list[Face]:
        """The faces of an RGB picture, largest first."""
        grey = _shrunk(pixels.convert("L"))
        with self._turn:
            boxes, _, weights = self._cascade.detectMultiScale3(
                grey, scaleFactor=1.1, minNeighbors=5, minSize=(_SMALLEST_FACE, _SMALLEST_FACE), outputRejectLevels=True
            )
        faces = [
            self._face(grey, box, _confidence(weight))
            for box, weight in zip(np.reshape(boxes, (-1, 4)).tolist(), np.ravel(weights).tolist(), strict=True)
            if _confidence(weight) >= _MINIMUM_CONFIDENCE
        ]
        return sorted(faces, key=lambda face: face.width * face.height, reverse=True)

    def _face(self, grey: Grey, box: list[int], confidence: float) -> Face:
        left, top, width, height = box
        inside = grey[top : top + height, left : left + width]
        small = self._cv2.resize(inside, (_SHARPNESS_SIDE, _SHARPNESS_SIDE), interpolation=self._cv2.INTER_AREA)
        variance = float(self._cv2.Laplacian(small, self._cv2.CV_64F).var())
        rows, columns = grey.shape
        return Face(
            left=left / columns,
            top=top / rows,
            width=width / columns,
            height=height / rows,
            confidence=confidence,
            brightness=float(inside.mean()) / 255 * 100,
            sharpness=variance / (variance + _SHARPNESS_HALF) * 100,
        )


def _shrunk(grey: Image.Image) -> Grey:
    """At most 1920x1080: the smallest face grows with the picture, so a larger one shows nothing more."""
    longer, shorter = max(grey.size), min(grey.size)
    factor = max(longer / _REFERENCE[0], shorter / _REFERENCE[1], 1.0)
    if factor > 1:
        grey = grey.resize((round(grey.width / factor), round(grey.height / factor)), Image.Resampling.BOX)
    return np.asarray(grey)


def _confidence(weight: float) -> float:
    middle = (_SURE_WEIGHT + _UNSURE_WEIGHT) / 2
    slope = math.log(19) / (_SURE_WEIGHT - middle)
    return 100 / (1 + math.exp(-slope * (weight - middle)))


_loading = threading.Lock()


def face_model() -> FaceModel:
    """The model, loaded once a process, in about 0.2 s."""
    with _loading:
        return _load()


@functools.cache
def _load() -> FaceModel:
    return FaceModel()
