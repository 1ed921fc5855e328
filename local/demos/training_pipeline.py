"""The demo of training-pipeline: too few data make no model, enough of them make one that waits for approval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import Demo, model_pictures, model_samples
from scenarios import training_pipeline

if TYPE_CHECKING:
    from rich.console import RenderableType

    from local.cloud import LocalCloud
    from local.screen import Screen

FEW, MANY = 1500, 12_000
_FOLDER = model_samples.FOLDER / "training"


@dataclass(frozen=True)
class Trainings:
    """One after the other; `pictures` are of the last that was evaluated."""

    reports: tuple[training_pipeline.Report, ...]
    pictures: list[Path] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether each ended as a training should."""
        return all(report.complete for report in self.reports)


class TrainingPipelineDemo(Demo):
    """Trains on the user's data, or on deliveries that the project draws: at first too few, then enough."""

    files = model_samples.LABELLED
    samples = _FOLDER
    doing = "Uploading {inputs}, waiting for the pipeline"
    done = "Uploaded {inputs}"
    results = "trainings"

    def sample_files(self) -> list[Path]:
        """Drawn now. Their names say in which order they come."""
        model_samples.write(_FOLDER, "1-few.csv", FEW, seed=2)
        model_samples.write(_FOLDER, "2-many.csv", MANY, seed=1)
        return super().sample_files()

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Trainings:
        own = all(path.parent == _FOLDER for path in inputs)
        batches = [[path] for path in inputs] if own else [list(inputs)]
        reports = tuple(training_pipeline.run(cloud, outputs, batch, progress) for batch in batches)
        evaluated = [report.evaluation for report in reports if report.evaluation]
        pictures = []
        if evaluated:
            pictures.append(model_pictures.roc(evaluated[-1], model_pictures.FOLDER / "training-pipeline" / "roc.png"))
        return Trainings(reports, pictures)

    def summary(self, report: Trainings) -> str:
        words = {"REGISTERED": "registered", "NOT_BETTER": "not good enough"}
        return ", then ".join(words.get(one.status, one.status.lower()) for one in report.reports)

    def show(self, report: Trainings, screen: Screen) -> Iterable[RenderableType]:
        from rich.text import Text

        for one in report.reports:
            yield from model_samples.show_training(one, screen)
        for picture in report.pictures:
            yield Text(f"Picture: {picture.relative_to(model_samples.ROOT)}\n")

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [
            ("The training", "real: every job is a process that runs the code AWS's containers would run"),
            (
                "The bar",
                "a PR AUC of 0.4 on rows never seen, and more than the model in production has on the same rows",
            ),
            ("The shop", "made up by this project: a few of a hundred deliveries are claimed as spoiled"),
        ]

    def to_json(self, report: Trainings) -> list[dict[str, Any]]:
        return [model_samples.training_json(one) for one in report.reports]


DEMO = TrainingPipelineDemo()
