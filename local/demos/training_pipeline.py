"""The demo of training-pipeline: mixed-up labels make no model, right ones make a model that waits for approval."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.demos import ROOT, Demo, model_pictures, model_samples
from scenarios import training_pipeline

if TYPE_CHECKING:
    from rich.console import RenderableType

    from local.cloud import LocalCloud
    from local.screen import Screen

MIXED_UP, RIGHT = "1-mixed-up.csv", "2-right.csv"
FEW, MANY = 4000, 12_000
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
    """Trains on the user's data, or on the project's deliveries: first with the labels of others, then right."""

    files = model_samples.LABELLED
    samples = _FOLDER
    doing = "Uploading {inputs}, waiting for the pipeline"
    done = "Uploaded {inputs}"
    results = "trainings"

    def sample_files(self) -> list[Path]:
        """Drawn now. Their names say in which order they come.

        The first is what a join by a wrong key makes of good data: each delivery has the label of another.
        """
        mixed_up = model_samples.write(_FOLDER, MIXED_UP, FEW, seed=2)
        header, *rows = mixed_up.read_text(encoding="utf-8").splitlines()
        labels = [row.partition(",")[0] for row in rows]
        others = labels[len(labels) // 2 :] + labels[: len(labels) // 2]
        lines = [f"{label},{row.partition(',')[2]}" for label, row in zip(others, rows, strict=True)]
        mixed_up.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return [mixed_up, model_samples.write(_FOLDER, RIGHT, MANY, seed=1)]

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Trainings:
        own = all(path.parent == _FOLDER for path in inputs)
        if own:
            reports = tuple(_train(cloud, outputs, path, progress, keep=path.name == RIGHT) for path in inputs)
        else:
            reports = (training_pipeline.run(cloud, outputs, inputs, progress),)
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
            yield Text(f"Picture: {picture.relative_to(ROOT)}\n")

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [
            ("The training", "real: every job is a process that runs the code AWS's containers would run"),
            (
                "The bar",
                "a PR AUC of 0.4 on rows never seen, and more than the model in production has on them",
            ),
            ("The first file", "has labels of other deliveries, as a join by a wrong key would give it"),
            ("The shop", "made up by this project: a few of a hundred deliveries are claimed as spoiled"),
        ]

    def to_json(self, report: Trainings) -> list[dict[str, Any]]:
        return [model_samples.training_json(one) for one in report.reports]


def _train(
    cloud: LocalCloud, outputs: Mapping[str, str], path: Path, progress: Callable[[str], None], *, keep: bool
) -> training_pipeline.Report:
    """Trains on one file, and takes it away again unless it is to `keep`: a later training would read it, too."""
    name = f"{path.stem}-{uuid.uuid4().hex[:8]}.csv"
    before = training_pipeline.executions(cloud, outputs)
    training_pipeline.upload(cloud, outputs, {name: path.read_bytes()})
    report = training_pipeline.follow(cloud, outputs, before, progress)
    if not keep:
        cloud.client("s3").delete_object(Bucket=outputs["BucketName"], Key=f"{outputs['DataPrefix']}{name}")
    return report


DEMO = TrainingPipelineDemo()
