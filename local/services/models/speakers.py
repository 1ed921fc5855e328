"""Where somebody speaks, and which stretches are of the same voice: loudness, pitch and the spectrum's shape, by numpy.

What is real: every boundary and every label is computed from the samples. What is not: there is no trained model of
voices. Voices that differ little in pitch and timbre are taken for one, a change of speaker without a pause is not
seen, and two people who speak at once are one stretch.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from local.services.models.sound import SAMPLE_RATE, Samples

HOP = 160  # 10 ms
FRAME = 512  # 32 ms: two periods of the lowest voice
PAUSE = 0.28  # Seconds of quiet that end a stretch; closures inside a word are shorter.
SHORTEST = 0.12  # Seconds; a click is no speech.
MARGIN = 0.10  # Seconds of quiet kept on both sides, for soft beginnings and ends.
QUIETEST = 10 ** (-50 / 20)  # Of full scale: quieter than this is silence, however the rest may be.

LOWEST_PITCH, HIGHEST_PITCH = 65, 400
VOICED = 0.45  # Share of a frame's energy that repeats after one period.

# Distance at which two groups of stretches are different voices. Measured on synthesized calls (ten, five pairs of
# voices a third of an octave apart or more): a stretch lies at most 0.9 from the middle of its own voice, the middles
# of two voices at least 1.86 apart. From 1.2 to 1.8 every label was right, however many speakers were allowed.
DIFFERENT = 1.5
PITCH_SCALE = 0.25  # Octaves of median pitch that make a distance of 1 alone.
TIMBRE_SCALE = 6.0  # Likewise, of the mean cepstrum.

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stretch:
    """Somebody speaks from `start` to `end`, in seconds; `speaker` counts from 0 in order of appearance."""

    start: float
    end: float
    speaker: int = 0


def stretches(samples: Samples) -> list[Stretch]:
    """Where there is sound to be heard, between pauses. Steady noise is taken for silence."""
    level = _level(samples)
    if not len(level):
        return []
    # A call is quieter in its pauses than in its speech by far: a quarter of the way up (in decibels) is safely above.
    floor, peak = np.percentile(level, 10), np.percentile(level, 95)
    limit = max(QUIETEST, float(floor**0.7 * peak**0.3))
    if peak < QUIETEST or (peak < 2 * floor and peak < 10 * QUIETEST):
        return []
    loud = level > limit
    found: list[list[int]] = []
    for frame in np.flatnonzero(loud):
        if found and frame - found[-1][1] <= PAUSE * SAMPLE_RATE / HOP:
            found[-1][1] = int(frame)
        else:
            found.append([int(frame), int(frame)])
    seconds, margin = HOP / SAMPLE_RATE, MARGIN
    total = len(samples) / SAMPLE_RATE
    return [
        Stretch(max(0.0, first * seconds - margin), min(total, (last + 1) * seconds + margin))
        for first, last in found
        if (last + 1 - first) * seconds >= SHORTEST
    ]


def _level(samples: Samples) -> Array:
    count = len(samples) // HOP
    frames = samples[: count * HOP].astype(np.float64).reshape(count, HOP)
    levels: Array = np.sqrt((frames**2).mean(axis=1))
    return levels


def label(samples: Samples, found: Sequence[Stretch], *, most: int) -> list[Stretch]:
    """The same stretches, with who speaks in each: at most `most` speakers, fewer where voices are alike.

    Stretches are joined, nearest first, until those left are different voices and no more than `most`. The longer ones
    decide; a stretch with too little voice to tell goes to the speaker before it.
    """
    prints = [_print(samples[int(one.start * SAMPLE_RATE) : int(one.end * SAMPLE_RATE)]) for one in found]
    known = [number for number, one in enumerate(prints) if one is not None]
    groups = [[number] for number in known]
    while len(groups) > 1:
        distances = {
            (left, right): _distance(_centre(prints, groups[left]), _centre(prints, groups[right]))
            for left in range(len(groups))
            for right in range(left + 1, len(groups))
        }
        (left, right), nearest = min(distances.items(), key=lambda item: item[1])
        if nearest > DIFFERENT and len(groups) <= most:
            break
        groups[left] += groups.pop(right)
    groups.sort(key=min)
    owner = {number: speaker for speaker, group in enumerate(groups) for number in group}
    labelled, speaker = [], 0
    for number, one in enumerate(found):
        speaker = owner.get(number, speaker)
        labelled.append(Stretch(one.start, one.end, speaker))
    return labelled


@dataclass(frozen=True)
class _Print:
    """A voice: octaves above 1 Hz, mean cepstrum, and how many voiced frames they come from."""

    pitch: float
    timbre: Array
    weight: int


FEWEST_VOICED = 15


def _print(samples: Samples) -> _Print | None:
    if len(samples) < FRAME:
        return None
    count = 1 + (len(samples) - FRAME) // HOP
    places = np.arange(count)[:, None] * HOP + np.arange(FRAME)
    frames = samples[places].astype(np.float64)
    frames -= frames.mean(axis=1, keepdims=True)
    window = np.hanning(FRAME)
    spectrum = np.abs(np.fft.rfft(frames * window, 2 * FRAME, axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, :FRAME]
    own = np.fft.irfft(np.abs(np.fft.rfft(window, 2 * FRAME)) ** 2)[:FRAME]
    shortest, longest = SAMPLE_RATE // HIGHEST_PITCH, SAMPLE_RATE // LOWEST_PITCH
    normal = correlation / np.maximum(correlation[:, :1], 1e-12) / np.maximum(own / own[0], 1e-3)
    inside = normal[:, shortest:longest]
    best = inside.max(axis=1)
    # The first peak nearly as high as the highest: the period, not a multiple of it.
    lag = shortest + np.argmax(inside >= 0.92 * best[:, None], axis=1)
    loud = correlation[:, 0] > 0.05 * np.percentile(correlation[:, 0], 90)
    voiced = (best > VOICED) & loud
    if voiced.sum() < FEWEST_VOICED:
        return None
    pitch = float(np.median(np.log2(SAMPLE_RATE / lag[voiced])))
    bands = np.log(spectrum[voiced] @ _bands().T + 1e-9)
    cepstrum = bands @ _cosines().T
    return _Print(pitch, cepstrum.mean(axis=0), int(voiced.sum()))


def _centre(prints: Sequence[_Print | None], group: Sequence[int]) -> _Print:
    chosen = [one for number in group if (one := prints[number]) is not None]
    weights = np.array([one.weight for one in chosen], dtype=np.float64)
    share = weights / weights.sum()
    return _Print(
        float(share @ np.array([one.pitch for one in chosen])),
        np.asarray(share @ np.stack([one.timbre for one in chosen])),
        int(weights.sum()),
    )


def _distance(one: _Print, other: _Print) -> float:
    pitch = (one.pitch - other.pitch) / PITCH_SCALE
    timbre = float(np.linalg.norm(one.timbre - other.timbre)) / TIMBRE_SCALE
    # Two short stretches differ by what is said in them: their timbre counts for less.
    trust = min(1.0, min(one.weight, other.weight) / 150)
    return float(np.hypot(pitch, timbre * trust))


@functools.cache
def _bands() -> Array:
    """Triangles over the spectrum, 24 of them, evenly spaced as the ear hears (mel) up to 7 kHz."""
    mel = np.linspace(2595 * np.log10(1 + 100 / 700), 2595 * np.log10(1 + 7000 / 700), 26)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequency = np.fft.rfftfreq(2 * FRAME, 1 / SAMPLE_RATE)
    rising = (frequency - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequency) / (edges[2:] - edges[1:-1])[:, None]
    triangles: Array = np.maximum(0, np.minimum(rising, falling))
    return triangles


@functools.cache
def _cosines() -> Array:
    """The first cepstral coefficients but the one for loudness."""
    places = (np.arange(24) + 0.5) * np.pi / 24
    cosines: Array = np.cos(np.arange(1, 13)[:, None] * places) * np.sqrt(2 / 24)
    return cosines
