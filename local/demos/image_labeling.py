"""The demo of image-labeling: photographs, and what was found in them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from local.demos import ROOT, Demo
from local.files import FileKind, printable
from scenarios import image_labeling
from scenarios.image_labeling import SUFFIXES, is_watched

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from local.cloud import LocalCloud
    from local.screen import Screen
    from scenarios.image_labeling import Label, Photo, Report

LABELS_SHOWN = 3
# A label that is at least as likely as not is a finding; what is below it is a guess, and shown after.
LIKELY_PERCENT = 50.0
NEARLY = 0.8


class ImageLabelingDemo(Demo):
    """Labels the user's photographs, or the project's."""

    # The stack's own default suits Rekognition. The small model that answers here spreads its certainty over more.
    settings: ClassVar[Mapping[str, Any]] = {"minimum_confidence": 30}
    files = FileKind("photograph", "photographs", SUFFIXES, is_watched, "labelled", option="--image")
    samples = ROOT / "samples" / "photos"
    doing = "Uploading {inputs}, waiting for the labels"
    done = "Uploaded {inputs}"
    results = "photos"

    def warm_up(self, cloud: LocalCloud) -> None:
        cloud.client("rekognition").detect_labels(Image={"Bytes": _small_picture()}, MaxLabels=1)

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Report:
        return image_labeling.run(cloud, outputs, inputs, progress)

    def summary(self, report: Report) -> str:
        counts: Counter[str] = Counter(photo.status for photo in report.photos)
        words = {"LABELED": "labelled", "REJECTED": "rejected", "FAILED": "failed", "MISSING": "without a row"}
        return ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status])

    def show(self, report: Report, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII
        table = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
        table.add_column("Photo", overflow="fold", max_width=max(screen.out.width // 3, 12))
        table.add_column("Labels, with their parents", overflow="fold")
        table.add_column("Upload to row", justify="right", min_width=7)
        named = Counter(photo.path.name for photo in report.photos)
        for photo in report.photos:
            # Files of one name are told apart by their folders.
            name = photo.path.name if named[photo.path.name] == 1 else str(photo.path)
            took = "-" if photo.seconds is None else f"{photo.seconds:.2f} s"
            table.add_row(Text(printable(name)), _findings(photo, screen), took)
        return [table]

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        from_ = f", from {self.settings['minimum_confidence']} % up" if own_stack else ""
        return [("The labels", f"those of a small real model{from_}")]

    def to_json(self, report: Report) -> list[dict[str, Any]]:
        return [_photo_to_json(photo) for photo in report.photos]


def _small_picture() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (320, 240), "white").save(out, "PNG")
    return out.getvalue()


def _findings(photo: Photo, screen: Screen) -> Text:
    from rich.text import Text

    if photo.status != "LABELED":
        style = "yellow" if photo.status == "REJECTED" else "red"
        return Text.assemble((photo.status.lower(), style), f" {photo.reason}")
    arrow = f" {screen.symbol('›', '>')} "  # noqa: RUF001 (a path's arrow, not a comparison)
    lines: list[Text] = []
    shown: list[str] = []
    for label in telling(photo.labels)[:LABELS_SHOWN]:
        # A path starts at what an earlier line has led to: there is no need to say it twice.
        known = next((place for place, parent in enumerate(label.parents) if parent in shown), len(label.parents) - 1)
        path = "".join(parent + arrow for parent in reversed(label.parents[: known + 1]))
        lines.append(Text.assemble((path, "dim"), (label.name, "bold"), f" {label.confidence:.0f} %"))
        shown.append(label.name)
    return Text("\n").join(lines) if lines else Text("no label above the stack's minimum confidence", "dim")


def telling(labels: Sequence[Label]) -> list[Label]:
    """The labels that tell most, first: likely ones, then guesses, each surest first.

    An ancestor says less than what it was found by, so it is left out where one of its descendants is likely too, or
    nearly as sure as itself; the descendant names it as a parent.
    """
    likely = [label for label in labels if label.confidence >= LIKELY_PERCENT]
    guesses = [label for label in labels if label.confidence < LIKELY_PERCENT]
    said = {parent for label in likely for parent in label.parents}
    said |= {
        guess.name
        for guess in guesses
        for label in guesses
        if guess.name in label.parents and label.confidence >= NEARLY * guess.confidence
    }
    chosen = [label for label in [*likely, *guesses] if label.name not in said]
    return sorted(chosen, key=lambda label: (-label.confidence, label.name))


def _photo_to_json(photo: Photo) -> dict[str, Any]:
    return {
        "file": str(photo.path),
        "image": photo.image,
        "version": photo.version,
        "status": photo.status,
        "reason": photo.reason,
        "seconds": None if photo.seconds is None else round(photo.seconds, 3),
        "labels": [
            {
                "name": label.name,
                "confidence": round(label.confidence, 2),
                "parents": list(label.parents),
                "instances": _numbers(label.instances),
            }
            for label in photo.labels
        ],
    }


def _numbers(value: Any) -> Any:
    """The same with DynamoDB's decimal numbers as floats, which JSON has."""
    if isinstance(value, Mapping):
        return {key: _numbers(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbers(one) for one in value]
    return value if isinstance(value, (str, bool, type(None))) else float(value)


DEMO = ImageLabelingDemo()
