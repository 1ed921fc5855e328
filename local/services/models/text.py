"""Text in a picture: lines, their words, and where they stand."""

import functools
import threading
from dataclasses import dataclass

import numpy as np
from PIL import Image

MODEL_VERSION = "pp-ocrv6-small"

Point = tuple[float, float]


@dataclass(frozen=True)
class Word:
    """One word. `polygon` holds the corners from the top left clockwise, as fractions of the picture's sides."""

    text: str
    confidence: float
    polygon: tuple[Point, ...]


@dataclass(frozen=True)
class Line:
    """One line of words, in reading order. `confidence` (percent) and `polygon` as for a word."""

    text: str
    confidence: float
    polygon: tuple[Point, ...]
    words: tuple[Word, ...]


class TextModel:
    """PaddleOCR's PP-OCRv6 (small), as the rapidocr package ships it. Answers one caller at a time."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        # Left to themselves its sessions take a thread for each core of the host and fight over those that there are:
        # 5 to 10 seconds a page on 2 cores, where two threads need 1.1.
        self._engine = RapidOCR(
            params={
                "EngineConfig.onnxruntime.intra_op_num_threads": 2,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Global.log_level": "critical",
            }
        )
        self._turn = threading.Lock()

    def read(self, pixels: Image.Image) -> list[Line]:
        """The lines of an RGB picture, from top to bottom."""
        colours = np.ascontiguousarray(np.asarray(pixels)[:, :, ::-1])
        with self._turn:
            found = self._engine(colours, return_word_box=True)
        if not found.txts:
            return []
        scale = (pixels.width, pixels.height)
        return [
            Line(
                text=text,
                confidence=_percent(score),
                polygon=_fractions(box, scale),
                words=tuple(
                    Word(word, _percent(score), _fractions(corners, scale)) for word, score, corners in words if word
                ),
            )
            for text, score, box, words in zip(found.txts, found.scores, found.boxes, found.word_results, strict=True)
        ]


def _percent(score: float) -> float:
    return min(max(float(score), 0.0), 1.0) * 100


def _fractions(corners: object, scale: tuple[int, int]) -> tuple[Point, ...]:
    points = np.asarray(corners, dtype=np.float64) / np.array(scale)
    return tuple((float(x), float(y)) for x, y in points)


_loading = threading.Lock()


def text_model() -> TextModel:
    """The model, loaded once a process, in about 1 s."""
    with _loading:
        return _load()


@functools.cache
def _load() -> TextModel:
    return TextModel()
