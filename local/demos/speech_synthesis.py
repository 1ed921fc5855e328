"""The demo of speech-synthesis: texts, what each was spoken as, and where the sound is kept to be listened to."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT, Demo
from local.files import FileKind, printable
from scenarios import speech_synthesis
from scenarios.speech_synthesis import SUFFIXES, is_watched

if TYPE_CHECKING:
    from rich.console import RenderableType

    from local.cloud import LocalCloud
    from local.screen import Screen
    from scenarios.speech_synthesis import Report, Result

SOUNDS = ROOT / ".build" / "spoken"


class SpeechSynthesisDemo(Demo):
    """Speaks the user's texts, or the project's, and puts the sound where it can be played."""

    files = FileKind("text", "texts", SUFFIXES, is_watched, "spoken")
    samples = ROOT / "samples" / "speech"
    doing = "Uploading {inputs}, waiting for the sound"
    done = "Uploaded {inputs}"
    results = "texts"

    def warm_up(self, cloud: LocalCloud) -> None:
        cloud.client("polly").synthesize_speech(Text="Hello.", VoiceId="Joanna", OutputFormat="mp3")

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        report = speech_synthesis.run(cloud, outputs, inputs, progress)
        for text in report.texts:
            if text.sound:
                SOUNDS.mkdir(parents=True, exist_ok=True)
                sound_file(text).write_bytes(text.sound)
        return report

    def summary(self, report: Report) -> str:
        counts: Counter[str] = Counter(text.status for text in report.texts)
        words = {
            "SPOKEN": "spoken",
            "REJECTED": "rejected",
            "TASK_FAILED": "with a failed task",
            "FAILED": "failed",
            "SPEAKING": "still being spoken",
            "STARTING": "not begun",
            "MISSING": "without a row",
        }
        return ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status])

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII
        table = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
        table.add_column("Text", overflow="fold", max_width=max(screen.out.width // 3, 12))
        table.add_column("Spoken", overflow="fold")
        table.add_column("Upload to sound", justify="right", min_width=7)
        for text in report.texts:
            if text.status == "SPOKEN":
                how = "by a task" if text.by_task else "at once"
                spoken = Text.assemble(
                    (f"{duration(text.sound):.1f} s", "bold"),
                    f" by {text.voice} ({text.engine}), {text.characters:,} characters billed, {how}",
                )
            else:
                style = "yellow" if text.status == "REJECTED" else "red"
                spoken = Text.assemble((text.status.lower(), style), f" {text.reason or ''}")
            took = "-" if text.seconds is None else f"{text.seconds:.2f} s"
            table.add_row(Text(printable(text.path.name)), spoken, took)
        return [table]

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [
            ("The voice", "a small real model's; it has Polly's names, not Polly's speakers"),
            ("To listen", str(SOUNDS.relative_to(ROOT))),
        ]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        return [_to_json(text) for text in report.texts]


def sound_file(text: Result) -> Path:
    """Where the demo keeps the sound of a text."""
    return SOUNDS / f"{text.path.stem}{Path(text.output_key).suffix}"


def duration(sound: bytes) -> float:
    """How long a sound file lasts, in seconds."""
    import soundfile

    with soundfile.SoundFile(io.BytesIO(sound)) as file:
        return float(file.frames / file.samplerate)


def _to_json(text: Result) -> dict[str, Any]:
    return {
        "file": str(text.path),
        "document": text.document,
        "version": text.version,
        "status": text.status,
        "reason": text.reason,
        "line": text.line,
        "voice": text.voice,
        "engine": text.engine,
        "characters": text.characters,
        "by_task": text.by_task,
        "sound": str(sound_file(text)) if text.sound else None,
        "sound_seconds": round(duration(text.sound), 2) if text.sound else None,
        "seconds": None if text.seconds is None else round(text.seconds, 3),
    }


DEMO = SpeechSynthesisDemo()
