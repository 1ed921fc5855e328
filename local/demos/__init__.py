"""What is special in the demo of each architecture: its inputs, its settings, how its results are shown.

`local.demo` deploys, drives and tidies up; one module here an architecture says what it drives and what one sees. The
module is named after the architecture and has a `DEMO`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from local.files import FileKind

if TYPE_CHECKING:
    from rich.console import RenderableType

    from local.cloud import LocalCloud
    from local.screen import Screen
    from scenarios.cloud import Cloud

ROOT = Path(__file__).resolve().parents[2]


class Report(Protocol):
    """What a scenario returns."""

    @property
    def complete(self) -> bool:
        """Whether everything came to a final state; a refusal with its reason is one."""


class Demo:
    """Base class. An architecture's demo says what differs; the methods are called in their order here."""

    # Settings of the stack that a demo deploys for itself; the others have their defaults.
    settings: ClassVar[Mapping[str, Any]] = {}
    # The same on a cloud whose clock nobody moves, where a wait of minutes takes minutes.
    settings_in_real_time: ClassVar[Mapping[str, Any]] = {}
    # What the user may bring.
    files: ClassVar[FileKind]
    # Where the samples lie that come with the project, by FileKind's endings.
    samples: ClassVar[Path]
    # The step that drives the scenario, running and done. `{inputs}` is "6 photographs".
    doing: ClassVar[str]
    done: ClassVar[str]
    # The key of the results in the JSON answer.
    results: ClassVar[str]

    def sample_files(self) -> list[Path]:
        """The inputs that come with the project."""
        return sorted(path for path in self.samples.iterdir() if self.files.takes(path.name))

    def warm_up(self, cloud: LocalCloud) -> None:
        """Lets the cloud load its models while synthesis keeps the other processor busy.

        The calls are free here. No scenario makes them: on AWS they would cost money and warm nothing.
        """

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Any:
        """Drives the scenario and returns its report (a `Report`)."""
        raise NotImplementedError

    def run_elsewhere(
        self, cloud: Cloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Any:
        """As `run`, on a cloud that is not this machine's: by AWS's APIs alone, in real time.

        What most scenarios use of the local cloud is what every cloud has; those that use more say here what they do
        without.
        """
        return self.run(cast("LocalCloud", cloud), outputs, inputs, progress)

    def drive(self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], screen: Screen) -> Any:
        """Runs it as one step of what the screen shows; a demo of several steps shows them itself."""
        named = self.files.counted(len(inputs))
        with screen.step(self.doing.format(inputs=named), self.done.format(inputs=named)) as step:
            report = self.run(cloud, outputs, inputs, step.detail)
            step.result = self.summary(report)
        return report

    def open_link(self, cloud: LocalCloud, outputs: Mapping[str, str]) -> str | None:
        """The address of a page that a person may open now, if there is one. Asked only where the stack stays."""
        return None

    def summary(self, report: Any) -> str:
        """A few words on what came of it, for the end of the step."""
        raise NotImplementedError

    def show(self, report: Any, screen: Screen) -> Iterable[RenderableType]:
        """What is printed: a table, mostly."""
        raise NotImplementedError

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        """What must be said of the results: lines of heading and text. `own_stack`: deployed with `settings`."""
        return ()

    def to_json(self, report: Any) -> list[dict[str, Any]]:
        """The results for machines."""
        raise NotImplementedError


def of(architecture_id: str) -> Demo:
    """The demo of a built architecture. Raises ModuleNotFoundError for one that has none."""
    demo: Demo = importlib.import_module(f"local.demos.{architecture_id.replace('-', '_')}").DEMO
    return demo
