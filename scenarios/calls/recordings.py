"""Telephone calls of a hotel chain: scripts, the sound that voices make of them, and the truth about it.

The model of the voices speaks English only, so the calls are in English. What is said where is known to the sample:
the truth comes from the synthesis, never from a recogniser.
"""

import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scenarios.speech.voices import SAMPLE_RATE, SPEAKERS, synthesize

# Names that a translation must not touch and a recogniser does not know.
HOTELS = ("Hotel Marisol", "Villa Kestrel", "Casa Lumora", "Hotel Bellavento")

PAUSE = 0.7
"""Seconds of quiet between two turns."""


@dataclass(frozen=True)
class Secret:
    """Personal data in a turn: its type by Transcribe, and the words of the turn that give it away."""

    kind: str
    words: str


@dataclass(frozen=True)
class Line:
    """A turn of a script: who, what (as it is written down), and what of it is personal."""

    speaker: str
    text: str
    secrets: tuple[Secret, ...] = ()


@dataclass(frozen=True)
class Script:
    """A call before it is spoken: `voices` maps each speaker to a name in `scenarios.speech.voices.SPEAKERS`."""

    name: str
    voices: dict[str, str]
    lines: tuple[Line, ...]
    hotels: tuple[str, ...]
    language: str = "en-US"


@dataclass(frozen=True)
class Turn:
    """What one speaker said, and when: seconds from the start of the recording."""

    speaker: str
    text: str
    start: float
    end: float
    secrets: tuple[Secret, ...]


@dataclass(frozen=True)
class Call:
    """A recording and the truth about it. `samples` are 16-bit, mono, `SAMPLE_RATE` a second."""

    name: str
    language: str
    samples: npt.NDArray[np.int16]
    turns: tuple[Turn, ...]
    hotels: tuple[str, ...]

    def wav(self) -> bytes:
        """The recording as a WAV file."""
        stream = io.BytesIO()
        with wave.open(stream, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(self.samples.astype("<i2").tobytes())
        return stream.getvalue()


def record(script: Script, *, seed: int = 0) -> Call:
    """Speak a script. The same script and seed give the same samples."""
    quiet = np.zeros(int(PAUSE * SAMPLE_RATE), np.int16)
    parts, turns, place = [quiet], [], len(quiet)
    for number, line in enumerate(script.lines):
        spoken, _ = synthesize(line.text, SPEAKERS[script.voices[line.speaker]], seed=seed + number)
        turns.append(
            Turn(line.speaker, line.text, place / SAMPLE_RATE, (place + len(spoken)) / SAMPLE_RATE, line.secrets)
        )
        parts += [spoken, quiet]
        place += len(spoken) + len(quiet)
    return Call(script.name, script.language, np.concatenate(parts), tuple(turns), script.hotels)


def vocabulary(hotels: Sequence[str] = HOTELS) -> str:
    """The custom vocabulary of the hotels' names, as the file that Transcribe reads."""
    rows = ["Phrase\tSoundsLike\tIPA\tDisplayAs", *(f"{name.replace(' ', '-')}\t\t\t{name}" for name in hotels)]
    return "\n".join(rows) + "\n"


BOOKING = Script(
    "booking",
    {"agent": "high", "guest": "low"},
    (
        Line("agent", "Good morning, this is Hotel Marisol. How can I help you today?"),
        Line(
            "guest",
            "Hello, my name is John Smith. I would like to change my booking at Villa Kestrel.",
            (Secret("NAME", "John Smith"),),
        ),
        Line("agent", "Of course. Could you tell me the number of your credit card, please?"),
        Line(
            "guest",
            "My credit card number is 4 5 3 9, 1 4 8 8, 2 3 4 3, 6 4 6 7. You can call me on 2 1 2, 5 5 5, 3 1 4 2.",
            (Secret("CREDIT_DEBIT_NUMBER", "4539 1488 2343 6467"), Secret("PHONE", "212 555 3142")),
        ),
        Line("agent", "Thank you very much. Your room at Casa Lumora is booked for three nights."),
    ),
    ("Hotel Marisol", "Villa Kestrel", "Casa Lumora"),
)
"""Five turns, two speakers, a name, a card and a telephone number, three hotels."""

COMPLAINT = Script(
    "complaint",
    {"agent": "heart", "guest": "low"},
    (
        Line("guest", "I am very angry. The room at Hotel Bellavento was dirty and the staff were rude."),
        Line("agent", "I am so sorry to hear that. May I have your name, please?"),
        Line("guest", "My name is Robert Miller. I want my money back today.", (Secret("NAME", "Robert Miller"),)),
        Line("agent", "I understand. We will refund the whole amount, and I thank you for your patience."),
    ),
    ("Hotel Bellavento",),
)
