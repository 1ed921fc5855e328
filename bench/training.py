"""A training through the pipeline, beside the same scripts one after another, in the same run.

Bare are the processes that the pipeline's jobs are, from the same archive, on the same data: prepare, train, evaluate,
baseline. What the architecture adds is events, jobs that are made and watched, encryption, and the way through S3.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.beside import Figures, measure
from local.cloud import LocalCloud
from pipelines.definition.archive import FOLDER, archive_bytes
from pipelines.deliveries.world import draw
from scenarios import training_pipeline

MOST_TRAININGS = 3
WARM_UP_TRAININGS = 1
ROWS = 12_000
MAXIMUM_SECONDS = 20.0


class TrainingFigures(Figures):
    """The same, with the bar on a training's own time."""

    def missed(self) -> list[str]:
        """The bars that were missed, in words."""
        slow = self._median_through > MAXIMUM_SECONDS
        told = f"a training takes {self._median_through:.1f} s, {MAXIMUM_SECONDS:g} are the bar"
        return [*super().missed(), *([told] if slow else [])]


def run(trainings: int, say: Callable[[str], object]) -> Figures:
    """`trainings` bounds their number, of which there are three at most."""
    count = min(trainings, MOST_TRAININGS) + WARM_UP_TRAININGS
    inputs = [(f"{n}.csv", draw(ROWS, n + 1).to_csv(index=False).encode()) for n in range(count)]
    found = measure(
        "training-pipeline",
        inputs,
        unit=f"training of {ROWS:,} rows",
        bare_is="its four scripts",
        bare=_bare,
        scenario=_seconds,
        say=say,
        settings={},
        warm_up=WARM_UP_TRAININGS,
    )
    return TrainingFigures(**vars(found))


def _bare(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        code = root / "code"
        archive = archive_bytes("deliveries")
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(code, filter="data")
        for name in ("data", "none", "model", "output", "artefact"):
            (root / name).mkdir()
        (root / "data" / "rows.csv").write_bytes(content)
        # The code itself stands for "no model in production", as in the pipeline.
        (root / "none" / "sourcedir.tar.gz").write_bytes(archive)
        schema: list[str | Path] = ["--schema", code / "schema.json"]
        _script(code, "prepare", ["--input", root / "data", *schema, "--output", root, "--message", root / "message"])
        channels = {f"SM_CHANNEL_{name.upper()}": root / name for name in ("train", "validation", "preprocessing")}
        places = {"SM_MODEL_DIR": root / "model", "SM_OUTPUT_DATA_DIR": root / "output"}
        _script(code, "train", _hyperparameters(), {**channels, **places})
        with tarfile.open(root / "artefact" / "model.tar.gz", "w:gz") as packed:
            packed.add(root / "model", ".")
        parts: list[str | Path] = [part for name in ("test", "train") for part in (f"--{name}", root / name)]
        models: list[str | Path] = ["--model", root / "artefact", "--production", root / "none"]
        written: list[str | Path] = ["--output", root / "evaluation", "--predictions", root / "predictions"]
        _script(code, "evaluate", [*models, *parts, "--metric", "pr_auc", *written])
        compared: list[str | Path] = ["--data", root / "baseline", "--predictions", root / "predictions"]
        _script(code, "pipelines.monitoring.baseline", [*compared, *schema, "--output", root / "constraints"])


def _script(
    code: Path, module: str, arguments: Sequence[str | Path], environment: Mapping[str, Path] | None = None
) -> None:
    """Raises CalledProcessError if it fails."""
    told = {name: str(place) for name, place in (environment or {}).items()}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    subprocess.run(command, cwd=code, env={**os.environ, **told}, check=True, capture_output=True)  # noqa: S603 (ours)


def _hyperparameters() -> list[str]:
    """As the committed definition has them, without SageMaker's own."""
    definition = json.loads((FOLDER / "deliveries" / "definition.json").read_text(encoding="utf-8"))
    (step,) = (step for step in definition["Steps"] if step["Type"] == "Training")
    given: dict[str, str] = step["Arguments"]["HyperParameters"]
    own = {name: value for name, value in given.items() if not name.startswith(("sagemaker_", "checkpoints"))}
    return [word for name, value in own.items() for word in (f"--{name}", value)]


def _seconds(cloud: LocalCloud, outputs: Mapping[str, str], path: Path) -> float | None:
    """From the upload to the registered package. The data are taken away, so that each training has its own."""
    name = f"{uuid.uuid4().hex}.csv"
    before = training_pipeline.executions(cloud, outputs)
    training_pipeline.upload(cloud, outputs, {name: path.read_bytes()})
    report = training_pipeline.follow(cloud, outputs, before)
    cloud.client("s3").delete_object(Bucket=outputs["BucketName"], Key=f"{outputs['DataPrefix']}{name}")
    return report.seconds if report.status == "REGISTERED" else None
