"""Text in a picture: lines, their words, and where they stand."""

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from local.services.models.runtime import threads

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


@dataclass(frozen=True)
class Letter:
    """One letter of a strip: how likely it is, where its middle is (0 left, 1 right), and what it may be instead."""

    text: str
    probability: float
    position: float
    rival: str
    rival_probability: float


class TextModel:
    """PaddleOCR's PP-OCRv6 (small), as the rapidocr package ships it. Answers one caller at a time."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        # Left to themselves its sessions take a thread for each core of the host and fight over those that there are:
        # 5 to 10 seconds a page on 2 cores, where two threads need 1.1.
        self._engine = RapidOCR(
            params={
                "EngineConfig.onnxruntime.intra_op_num_threads": threads(),
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

    def find_strips(self, colours: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Where text stands in a BGR picture: corners of strips (n, 4, 2) in pixels, from the top left clockwise."""
        with self._turn:
            found = self._engine._load_det_model()(colours)
        return np.zeros((0, 4, 2), np.float32) if found.boxes is None else np.asarray(found.boxes, np.float32)

    def read_strips(self, strips: Sequence[NDArray[np.uint8]], batch: int = 6) -> list[list[Letter]]:
        """The letters of each strip, spaces included. A strip is a BGR picture of one line of text."""
        answers: list[list[Letter]] = [[] for _ in strips]
        order = sorted(range(len(strips)), key=lambda number: strips[number].shape[1] / strips[number].shape[0])
        with self._turn:
            reader = self._engine._load_rec_model()
            for start in range(0, len(order), batch):
                numbers = order[start : start + batch]
                ratios = [strips[number].shape[1] / strips[number].shape[0] for number in numbers]
                # The model was trained with strips padded to one width, of at least 320 x 48.
                widest = max(*ratios, 320 / 48)
                inputs = np.stack([reader.resize_norm_img(strips[number], widest) for number in numbers])
                scores = np.asarray(reader.session(inputs.astype(np.float32)))
                for number, ratio, table in zip(numbers, ratios, scores, strict=True):
                    answers[number] = _letters(table, reader.postprocess_op.character, ratio / widest)
        return answers


def _letters(table: NDArray[np.float32], alphabet: Sequence[str], filled: float) -> list[Letter]:
    """Greedy decoding: neighbouring equal answers are one letter, blanks (the alphabet's first) part them."""
    best = table.argmax(axis=1)
    letters: list[Letter] = []
    start = 0
    columns = max(len(best) * filled, 1.0)
    for end in range(1, len(best) + 1):
        if end < len(best) and best[end] == best[start]:
            continue
        if best[start]:
            peak = start + int(table[start:end, best[start]].argmax())
            scores, first = table[peak].copy(), int(best[start])
            probability, scores[first] = scores[first], -1.0
            second = int(scores.argmax())
            letters.append(
                Letter(
                    text=alphabet[first],
                    probability=float(probability),
                    position=min(((start + end) / 2) / columns, 1.0),
                    rival="" if second == 0 else alphabet[second],
                    rival_probability=float(scores[second]),
                )
            )
        start = end
    return letters


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
