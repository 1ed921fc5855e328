"""Shows an architecture at work: deploys it where it is not deployed yet, drives its scenario, and tidies up.

A demo leaves the machine as it found it. Where no local cloud is up it starts one of its own, under a name of its own,
which ends with it; so any number of demos run at once. A cloud that is up is used and left up. A stack that is deployed
there is used and left; else the demo deploys a copy under another name and destroys it again.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import DEFAULT_CLOUD
from local.assembly import synthesize
from local.cloud import STATE, CloudError, LocalCloud
from local.demos import Demo, Report, of
from local.deploy import UPDATABLE, DeployError, deploy, destroy, log_events, outputs, resources, stacks
from local.files import check
from local.localstack.cloud import LocalStack, find, kind
from local.screen import Screen
from stacks.catalogue import Architecture, parameter_name, with_needs

if TYPE_CHECKING:
    from rich.console import RenderableType

ROOT = Path(__file__).resolve().parent.parent

# What an assembly and a cloud's data take, with room to spare.
FREE_BYTES = 200_000_000
LOG_LINES_KEPT = 1000
NARROW = 80


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
    """What a demo did, for people and for machines.

    `log` is what was logged, if an input came to no result. `open_link` is a page that a person may open now.
    """

    architecture: Architecture
    standing: Standing
    report: Report
    seconds: float
    log: Path | None = None
    open_link: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Confidence in percent, times in seconds."""
        demo = of(self.architecture.id)
        return {
            "architecture": self.architecture.id,
            "stack": self.standing.stack,
            "cloud": {"name": self.standing.cloud.name, "was_up": self.standing.cloud_was_up},
            "stack_was_there": self.standing.stack_was_there,
            "complete": self.report.complete,
            "seconds": round(self.seconds, 3),
            "open_link": self.open_link,
            demo.results: demo.to_json(self.report),
        }


def run(architecture: Architecture, files: Sequence[Path], screen: Screen, cloud_name: str) -> Outcome:
    """Runs the demo of an architecture on these files, or on the samples if there are none.

    Raises FilesRefusedError for files that cannot be uploaded, and what synthesis, the cloud and deployment raise.
    """
    begin = time.monotonic()
    demo = of(architecture.id)
    inputs = check(files, demo.files) if files else demo.sample_files()
    with standing(architecture, screen, cloud_name) as stands:
        report: Report = demo.drive(stands.cloud, stands.outputs, inputs, screen)
        log = None if report.complete else _keep_log(stands)
        # The clock stops where the user has the answer; tidying up comes on top.
        seconds = time.monotonic() - begin
        link = demo.open_link(stands.cloud, stands.outputs) if stands.stack_was_there else None
        return Outcome(architecture, stands, report, seconds, log, link)


@contextmanager
def standing(architecture: Architecture, screen: Screen, cloud_name: str) -> Iterator[Standing]:
    """A deployed stack of this architecture; at the end the machine is as it was."""
    running = find(cloud_name)
    if isinstance(running, LocalStack) and (reason := running.lacks()) is not None:
        raise CloudError(f"The demo cannot run: {reason}.")
    if running is None:
        yield from _on_own_cloud(architecture, screen, kind(cloud_name))
    elif stacks(running).get(architecture.id) in UPDATABLE:
        screen.note(f"Using the stack {architecture.id} that is deployed on the local cloud {cloud_name!r}.")
        yield _standing(running, architecture.id, cloud_was_up=True, stack_was_there=True)
    else:
        yield from _own_copy(architecture, screen, running)


def _on_own_cloud(architecture: Architecture, screen: Screen, which: type[LocalCloud]) -> Iterator[Standing]:
    _require_space()
    with ExitStack() as cleanup:
        pool = cleanup.enter_context(ThreadPoolExecutor(1))
        starting = pool.submit(_start_and_warm_up, which, f"demo-{os.getpid()}", of(architecture.id))
        cleanup.callback(_stop, starting)
        assembly = _synthesize(architecture, screen, which)
        with screen.step("Starting a local cloud meanwhile", "Started a local cloud meanwhile") as step:
            cloud, step.seconds = starting.result()
        yield _deploy(architecture, screen, cloud, "", assembly)


def _own_copy(architecture: Architecture, screen: Screen, cloud: LocalCloud) -> Iterator[Standing]:
    ending = f"-demo-{os.getpid()}"
    assembly = _synthesize(architecture, screen, type(cloud))
    try:
        yield _deploy(architecture, screen, cloud, ending, assembly)
    finally:
        with _undisturbed(), screen.step("Destroying the stack again", "Destroyed the stack again") as step:
            for one in reversed(with_needs(architecture)):
                destroy(cloud, f"{one.id}{ending}", step.detail)


def _synthesize(architecture: Architecture, screen: Screen, which: type[LocalCloud]) -> Path:
    with screen.step("Synthesizing the stack with the CDK", "Synthesized the stack with the CDK"):
        return synthesize(architecture.id, settings=settings(architecture, which))


def _deploy(architecture: Architecture, screen: Screen, cloud: LocalCloud, ending: str, assembly: Path) -> Standing:
    """Deploys it after those that it needs, all under their own ids with this ending."""
    for one in with_needs(architecture):
        name = f"{one.id}{ending}"
        which = "the stack" if one is architecture else f"{one.id}, which it needs"
        parameters = {parameter_name(needed): f"{needed}{ending}" for needed in one.needs}
        with screen.step(f"Deploying {which}", f"Deployed {which}") as step:
            deploy(cloud, assembly, name, step.detail, artifact=one.id, parameters=parameters)
            stands = _standing(cloud, name, cloud_was_up=bool(ending), stack_was_there=False)
            step.result = _count(len(stands.resources), "resource")
    return stands


def _standing(cloud: LocalCloud, name: str, *, cloud_was_up: bool, stack_was_there: bool) -> Standing:
    return Standing(cloud, name, outputs(cloud, name), resources(cloud, name), cloud_was_up, stack_was_there)


def settings(architecture: Architecture, which: type[LocalCloud] = LocalCloud) -> dict[str, dict[str, Any]]:
    """The settings of a stack that a demo deploys for itself on this kind of cloud, as `synthesize` takes them."""
    demo = of(architecture.id)
    chosen = {**demo.settings, **({} if which.clock_moves else demo.settings_in_real_time)}
    return {architecture.id: chosen} if chosen else {}


def _require_space() -> None:
    """Raises OSError while that is still cheap: a cloud whose disk is full fails in ways that do not say so."""
    for folder in (STATE, ROOT / ".build"):
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _start_and_warm_up(which: type[LocalCloud], name: str, demo: Demo) -> tuple[LocalCloud, float]:
    """Starts a cloud and lets it load its models. Returns the cloud and how many seconds it took."""
    begin = time.monotonic()
    cloud = which.start(name)
    try:
        demo.warm_up(cloud)
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


def show(outcome: Outcome, screen: Screen, command: str) -> None:
    """Prints what was found, what ran, and how to go on. `command` is how the command line is called."""
    screen.say()
    demo = of(outcome.architecture.id)
    for shown in demo.show(outcome.report, screen):
        screen.out.print(shown)
    if outcome.log:
        screen.say(f"Not every {demo.files.one} came to a result. What was logged: {outcome.log.relative_to(ROOT)}")
    screen.say()
    screen.out.print(_what_ran(outcome, screen))
    screen.say()
    if outcome.open_link:
        # A link is to be copied, so it stays in one piece.
        screen.say("Left for you to open. A browser warns: the certificate is this machine's own.")
        screen.say(outcome.open_link)
        screen.say()
    _show_next_steps(outcome, screen, command)


def _what_ran(outcome: Outcome, screen: Screen) -> RenderableType:
    standing = outcome.standing
    if standing.stack_was_there:
        many = of(outcome.architecture.id).files.many
        after = (
            f"stack and local cloud {standing.cloud.name!r} were there before and stay; so do the {many} of this demo"
        )
    elif standing.cloud_was_up:
        after = f"the stack is destroyed again; the local cloud {standing.cloud.name!r} was up, and is left up"
    else:
        after = "stack and cloud are gone again, nothing is left running"
    place = standing.cloud.endpoint_url.partition("://")[2]
    what, permissions = standing.cloud.is_a
    return _grid(
        ("The flow", outcome.architecture.flow.replace("→", screen.symbol("→", "->"))),
        (
            "The stack",
            f"{standing.stack}, {_count(len(standing.resources), 'resource')}, synthesized as for AWS",
        ),
        ("The cloud", f"{what} on {place}, {permissions}"),
        *of(outcome.architecture.id).remarks(own_stack=not standing.stack_was_there),
        ("The network", "no connection left this machine"),
        ("The time", f"{outcome.seconds:.1f} s from the start to this table"),
        ("Afterwards", after),
    )


def _show_next_steps(outcome: Outcome, screen: Screen, command: str) -> None:
    name = outcome.architecture.id
    files = of(name).files
    on_localstack = isinstance(outcome.standing.cloud, LocalStack)
    on = outcome.standing.cloud.name if outcome.standing.cloud_was_up else DEFAULT_CLOUD
    named = " --cloud localstack" if on_localstack else "" if on == DEFAULT_CLOUD else f" --name {on}"
    keep = f"{command} up{' --cloud localstack' if on_localstack else ''}"
    steps = [
        (f"{command} demo {name}{named} {files.option} YOUR{files.endings[0]}", f"with your {files.many}"),
        # LocalStack's core judges no permission, so there is nothing to tell of them.
        *([] if on_localstack else [(f"{command} permissions {name}{named}", "what its roles may do")]),
        (keep, "keep a cloud running"),
        (f"{command} list", "the other architectures"),
        (outcome.architecture.page, "how this one works"),
    ]
    if outcome.standing.cloud_was_up:
        steps = [step for step in steps if step[0] != keep]
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


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
