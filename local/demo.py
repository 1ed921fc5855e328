"""Shows an architecture at work: deploys it where it is not deployed yet, drives its scenario, and tidies up.

A demo leaves the machine as it found it. Where no local cloud is up it starts one of its own, under a name of its own,
which ends with it; so any number of demos run at once. A cloud that is up is used and left up. A stack that is deployed
there is used and left; else the demo deploys a copy under another name and destroys it again.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.assembly import synthesize
from local.cloud import STATE, CloudError, LocalCloud
from local.deploy import UPDATABLE, DeployError, deploy, destroy, log_events, outputs, resources, stacks
from local.screen import Screen
from stacks.catalogue import Architecture

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from scenarios.image_labeling import Label, Photo, Report

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples" / "photos"

# A photograph of a hundred megabytes is far beyond what any camera writes, and would be read into memory.
LARGEST_PHOTO_BYTES = 100_000_000
# What an assembly and a cloud's data take, with room to spare.
FREE_BYTES = 200_000_000
LABELS_SHOWN = 3
LOG_LINES_KEPT = 1000
NARROW = 80
# A label that is at least as likely as not is a finding; what is below it is a guess, and shown after.
LIKELY_PERCENT = 50.0
NEARLY = 0.8

# The stack's own default suits Rekognition. The small model that answers here spreads its certainty over more labels.
SETTINGS = {"image-labeling": {"minimum_confidence": 30}}


class PhotoRefusedError(Exception):
    """Some of the files named are no photographs to be uploaded. `str()` is a line for each."""


@dataclass(frozen=True)
class Standing:
    """A deployed stack, and how it came to stand there."""

    cloud: LocalCloud
    stack: str
    outputs: Mapping[str, str]
    resources: Sequence[tuple[str, str, str]]
    cloud_was_up: bool
    stack_was_there: bool


@dataclass(frozen=True)
class Outcome:
    """What a demo did, for people and for machines. `log` is what was logged, if a photograph came to no result."""

    architecture: Architecture
    standing: Standing
    report: Report
    seconds: float
    log: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Confidence in percent, times in seconds."""
        return {
            "architecture": self.architecture.id,
            "stack": self.standing.stack,
            "cloud": {"name": self.standing.cloud.name, "was_up": self.standing.cloud_was_up},
            "stack_was_there": self.standing.stack_was_there,
            "complete": self.report.complete,
            "seconds": round(self.seconds, 3),
            "photos": [_photo_to_json(photo) for photo in self.report.photos],
        }


def run(architecture: Architecture, images: Sequence[Path], screen: Screen, cloud_name: str) -> Outcome:
    """Runs the demo of an architecture on these files, or on the samples if there are none.

    Raises PhotoRefusedError for files that cannot be uploaded, and what synthesis, the cloud and deployment raise.
    """
    begin = time.monotonic()
    photos = check_photos(images) if images else sample_photos()
    scenario = importlib.import_module(str(architecture.scenario))
    with standing(architecture, screen, cloud_name) as stands:
        what = _count(len(photos), "photograph")
        with screen.step(f"Uploading {what}, waiting for the labels", f"Uploaded {what}") as step:
            report: Report = scenario.run(stands.cloud, stands.outputs, photos, step.detail)
            step.result = _summary(report)
        log = None if report.complete else _keep_log(stands)
        # The clock stops where the user has the answer; tidying up comes on top.
        return Outcome(architecture, stands, report, time.monotonic() - begin, log)


@contextmanager
def standing(architecture: Architecture, screen: Screen, cloud_name: str) -> Iterator[Standing]:
    """A deployed stack of this architecture; at the end the machine is as it was."""
    running = LocalCloud.attach(cloud_name)
    if running is None:
        yield from _on_own_cloud(architecture, screen)
    elif stacks(running).get(architecture.id) in UPDATABLE:
        screen.note(f"Using the stack {architecture.id} that is deployed on the local cloud {cloud_name!r}.")
        yield _standing(running, architecture.id, cloud_was_up=True, stack_was_there=True)
    else:
        yield from _own_copy(architecture, screen, running)


def _on_own_cloud(architecture: Architecture, screen: Screen) -> Iterator[Standing]:
    _require_space()
    with ExitStack() as cleanup:
        pool = cleanup.enter_context(ThreadPoolExecutor(1))
        starting = pool.submit(_start_and_warm_up, f"demo-{os.getpid()}")
        cleanup.callback(_stop, starting)
        assembly = _synthesize(architecture, screen)
        with screen.step("Starting a local cloud meanwhile", "Started a local cloud meanwhile") as step:
            cloud, step.seconds = starting.result()
        yield _deploy(architecture, screen, cloud, architecture.id, assembly)


def _own_copy(architecture: Architecture, screen: Screen, cloud: LocalCloud) -> Iterator[Standing]:
    name = f"{architecture.id}-demo-{os.getpid()}"
    assembly = _synthesize(architecture, screen)
    try:
        yield _deploy(architecture, screen, cloud, name, assembly)
    finally:
        with _undisturbed(), screen.step("Destroying the stack again", "Destroyed the stack again") as step:
            destroy(cloud, name, step.detail)


def _synthesize(architecture: Architecture, screen: Screen) -> Path:
    with screen.step("Synthesizing the stack with the CDK", "Synthesized the stack with the CDK"):
        return synthesize(architecture.id, settings=_settings(architecture))


def _deploy(architecture: Architecture, screen: Screen, cloud: LocalCloud, name: str, assembly: Path) -> Standing:
    with screen.step("Deploying the stack", "Deployed the stack") as step:
        deploy(cloud, assembly, name, step.detail, artifact=architecture.id)
        stands = _standing(cloud, name, cloud_was_up=name != architecture.id, stack_was_there=False)
        step.result = _count(len(stands.resources), "resource")
    return stands


def _standing(cloud: LocalCloud, name: str, *, cloud_was_up: bool, stack_was_there: bool) -> Standing:
    return Standing(cloud, name, outputs(cloud, name), resources(cloud, name), cloud_was_up, stack_was_there)


def _settings(architecture: Architecture) -> dict[str, dict[str, Any]]:
    return {name: values for name, values in SETTINGS.items() if name == architecture.id}


def _require_space() -> None:
    """Raises OSError while that is still cheap: a cloud whose disk is full fails in ways that do not say so."""
    for folder in (STATE, ROOT / ".build"):
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _start_and_warm_up(name: str) -> tuple[LocalCloud, float]:
    """Starts a cloud and lets it load its labelling model while synthesis keeps the other processor busy.

    Returns the cloud and how many seconds it took. The call is free here. No scenario does it: on AWS it would cost
    money and warm nothing.
    """
    begin = time.monotonic()
    cloud = LocalCloud.start(name)
    try:
        cloud.client("rekognition").detect_labels(Image={"Bytes": _small_picture()}, MaxLabels=1)
    except BaseException:
        cloud.stop()
        raise
    return cloud, time.monotonic() - begin


def _keep_log(standing: Standing) -> Path | None:
    """What the functions and the emulator logged: it is gone with a cloud of the demo's own, and this copy is not.

    None if they logged nothing.
    """
    lines = []
    with suppress(CloudError, DeployError):
        events = log_events(standing.cloud, standing.stack, LOG_LINES_KEPT)
        lines += [f"{moment.isoformat()}  {group}  {message}" for moment, group, message in events]
    with suppress(FileNotFoundError):
        lines += (standing.cloud.folder / "emulator.log").read_text(errors="replace").splitlines()
    if not lines:
        return None
    kept = ROOT / ".build" / "demo.log"
    kept.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return kept


def _small_picture() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (320, 240), "white").save(out, "PNG")
    return out.getvalue()


def _stop(starting: Future[tuple[LocalCloud, float]]) -> None:
    with _undisturbed():
        if starting.cancel() or starting.exception() is not None:
            return
        starting.result()[0].stop()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Tidying up takes a second or two and must not be cut short by an impatient Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, signal.SIG_IGN) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def sample_photos() -> list[Path]:
    """The photographs that come with the project."""
    from scenarios.image_labeling import is_watched

    return sorted(path for path in SAMPLES.iterdir() if is_watched(path.name))


def check_photos(paths: Sequence[Path]) -> list[Path]:
    """These files, each once, if all of them can be uploaded. What a file holds is for the architecture to judge.

    Raises PhotoRefusedError with a line for each file that cannot.
    """
    first: dict[Path, Path] = {}
    for path in paths:
        first.setdefault(path.absolute(), path)
    unique = list(first.values())
    complaints = [complaint for path in unique if (complaint := _complaint(path))]
    if complaints:
        raise PhotoRefusedError("\n".join(complaints))
    return unique


def _complaint(path: Path) -> str | None:
    from scenarios.image_labeling import SUFFIXES, is_watched

    valid = str(path).encode(errors="backslashreplace").decode()
    shown = _printable(valid)
    complaint: str | None = None
    try:
        if valid != str(path):
            complaint = "the name is not valid UTF-8, which S3 needs. Rename the file."
        elif path.is_dir():
            complaint = f"this is a folder. Name the photographs in it, for example {shown}/*.jpg"
        elif not path.exists():
            complaint = "there is no such file."
        elif not path.is_file():
            complaint = "this is not a file."
        elif not is_watched(path.name):
            ending = f"files that end in {path.suffix}" if path.suffix else "files without an ending"
            complaint = f"{ending} are not labelled, only {', '.join(SUFFIXES)} (or all in capitals)."
        elif (size := path.stat().st_size) > LARGEST_PHOTO_BYTES:
            complaint = f"it has {size / 1e6:,.0f} MB; the limit here is {LARGEST_PHOTO_BYTES / 1e6:.0f} MB."
        else:
            path.open("rb").close()
    except OSError as error:
        complaint = f"it cannot be read: {error.strerror}."
    return complaint and f"{shown}: {complaint}"


def show(outcome: Outcome, screen: Screen, command: str) -> None:
    """Prints what was found, what ran, and how to go on. `command` is how the command line is called."""
    screen.say()
    screen.out.print(_table(outcome.report, screen))
    if outcome.log:
        screen.say(f"Not every photograph came to a result. What was logged: {outcome.log.relative_to(ROOT)}")
    screen.say()
    screen.out.print(_what_ran(outcome, screen))
    screen.say()
    _show_next_steps(outcome, screen, command)


def _table(report: Report, screen: Screen) -> RenderableType:
    from rich import box
    from rich.table import Table

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
        table.add_row(_plain(name), _findings(photo, screen), took)
    return table


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


def _what_ran(outcome: Outcome, screen: Screen) -> RenderableType:
    standing = outcome.standing
    if standing.stack_was_there:
        after = f"stack and local cloud {standing.cloud.name!r} were there before, and are left as they were"
    elif standing.cloud_was_up:
        after = f"the stack is destroyed again; the local cloud {standing.cloud.name!r} was up, and is left up"
    else:
        after = "stack and cloud are gone again, nothing is left running"
    labels = "the labels are those of a small real model"
    if not standing.stack_was_there:
        labels += f", from {SETTINGS[outcome.architecture.id]['minimum_confidence']} % up"
    place = standing.cloud.endpoint_url.removeprefix("https://")
    return _grid(
        ("The flow", outcome.architecture.flow.replace("→", screen.symbol("→", "->"))),
        (
            "The stack",
            f"{standing.stack}, {_count(len(standing.resources), 'resource')}, synthesized as for AWS",
        ),
        ("The cloud", f"an emulator on {place}, IAM enforced; {labels}"),
        ("The network", "no connection left this machine"),
        ("The time", f"{outcome.seconds:.1f} s from the start to this table"),
        ("Afterwards", after),
    )


def _show_next_steps(outcome: Outcome, screen: Screen, command: str) -> None:
    name = outcome.architecture.id
    steps = [
        (f"{command} demo {name} --image YOUR.jpg", "with your photographs"),
        (f"{command} permissions {name}", "what its roles may do"),
        (f"{command} up", "keep a cloud running"),
        (f"{command} list", "the other architectures"),
        (outcome.architecture.page, "how this one works"),
    ]
    if outcome.standing.cloud_was_up:
        steps = [step for step in steps if not step[0].endswith(" up")]
    if screen.out.width >= NARROW:
        screen.out.print(_grid(*steps))
        return
    for todo, what in steps:
        # A command is to be copied, so it stays in one piece.
        screen.say(f"{todo}\n    {what}")


def _grid(*rows: tuple[str, str]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for heading, text in rows:
        table.add_row(Text(heading, "bold"), Text(text))
    return table


def _summary(report: Report) -> str:
    counts: Counter[str] = Counter(photo.status for photo in report.photos)
    words = {"LABELED": "labelled", "REJECTED": "rejected", "FAILED": "failed", "MISSING": "without a row"}
    return ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status])


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _plain(name: str) -> Text:
    from rich.text import Text

    return Text(_printable(name))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


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
