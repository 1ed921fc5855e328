"""Runs the scripts of a pipeline as SageMaker's containers do: from the archive, as processes, in their folders."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.definition.archive import FOLDER, Case, archive_bytes

SECONDS = 300


@dataclass(frozen=True)
class Ended:
    """How a job ended: its exit code, its log, and the reason that it told for the service."""

    code: int
    log: str
    reason: str


@dataclass
class Jobs:
    """The jobs of one run, one after another, each with the folders of the ones before."""

    root: Path
    case: Case
    code: Path = field(init=False)

    def __post_init__(self) -> None:
        self.code = self.root / "code"
        with tarfile.open(fileobj=io.BytesIO(archive_bytes(self.case))) as archive:
            archive.extractall(self.code, filter="data")
        (self.root / "data").mkdir()

    def give(self, frame: pd.DataFrame, name: str = "rows.csv") -> None:
        """Puts rows where Prepare looks for them."""
        frame.to_csv(self.root / "data" / name, index=False)

    def process(self, module: str, arguments: Sequence[str | Path], *, told: str = "message") -> Ended:
        """Runs a module of the archive to its end."""
        return self._run([sys.executable, "-m", module, *map(str, arguments)], {}, self.root / told)

    def prepare(self, *arguments: str) -> Ended:
        """Prepare, on what was given; its folders lie in `root`."""
        folders: list[str | Path] = [
            "--input",
            self.root / "data",
            "--schema",
            self.code / "schema.json",
            "--output",
            self.root,
        ]
        return self.process("prepare", [*folders, "--message", self.root / "message", *arguments])

    def training(self, hyperparameters: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
        """Command and environment of the training job, as the toolkit in AWS's image makes them."""
        for folder in ("model", "output/data"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        environment = {
            "SM_MODEL_DIR": str(self.root / "model"),
            "SM_OUTPUT_DIR": str(self.root / "output"),
            "SM_OUTPUT_DATA_DIR": str(self.root / "output" / "data"),
            **{
                f"SM_CHANNEL_{name.upper()}": str(self.root / name) for name in ("train", "validation", "preprocessing")
            },
        }
        arguments = [word for name, value in hyperparameters.items() for word in (f"--{name}", str(value))]
        return [sys.executable, "train.py", *arguments], environment

    def train(self, **hyperparameters: Any) -> Ended:
        """Train, with the case's own hyperparameters and these; the artefact is packed as SageMaker does."""
        command, environment = self.training({**own_hyperparameters(self.case), **hyperparameters})
        ended = self._run(command, environment, self.root / "output" / "failure")
        if ended.code == 0:
            self.pack(self.root / "model", self.root / "artefact" / "model.tar.gz")
        return ended

    def evaluate(self, metric: str, production: Path | None = None) -> Ended:
        """Evaluate, against the model in the folder `production`, or against none."""
        if production is None:
            production = self.root / "none"
            production.mkdir(exist_ok=True)
            (production / "sourcedir.tar.gz").write_bytes(archive_bytes(self.case))
        folders: list[str | Path] = [
            "--model",
            self.root / "artefact",
            "--production",
            production,
            "--test",
            self.root / "test",
        ]
        folders += ["--train", self.root / "train", "--output", self.root / "evaluation"]
        folders += ["--predictions", self.root / "predictions", "--message", self.root / "message"]
        return self.process("evaluate", [*folders, "--metric", metric])

    def report(self, name: str) -> Any:
        """A JSON file of the run, by its path in it."""
        return json.loads((self.root / name).read_text(encoding="utf-8"))

    @staticmethod
    def pack(folder: Path, archive: Path) -> None:
        """A folder as an archive."""
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "w:gz") as packed:
            for file in sorted(folder.iterdir()):
                packed.add(file, file.name)

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
        """Starts a job and leaves it running."""
        return subprocess.Popen(
            command,
            cwd=self.code,
            env={**os.environ, "MPLCONFIGDIR": str(self.root.parent / "matplotlib"), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _run(self, command: Sequence[str], environment: Mapping[str, str], told_in: Path) -> Ended:
        told_in.unlink(missing_ok=True)
        process = self.start(command, environment)
        log, _ = process.communicate(timeout=SECONDS)
        return Ended(process.returncode, log, told_in.read_text(encoding="utf-8") if told_in.is_file() else "")


def own_hyperparameters(case: Case) -> dict[str, str]:
    """What the committed definition trains a case with, without the service's own."""
    definition = json.loads((FOLDER / case / "definition.json").read_text(encoding="utf-8"))
    training = next(step for step in definition["Steps"] if step["Type"] == "Training")
    given: dict[str, str] = training["Arguments"]["HyperParameters"]
    return {name: value for name, value in given.items() if not name.startswith(("sagemaker_", "checkpoints"))}
