"""Train: gradient-boosted trees in script mode, with early stopping, class weights and checkpoints.

SageMaker gives the script its folders in the environment and its hyperparameters as arguments (SageMaker Training
Toolkit, "ENVIRONMENT_VARIABLES.md", read 2026-11-27):

    SM_CHANNEL_TRAIN, SM_CHANNEL_VALIDATION   what `prepare` wrote: a CSV each, label first, with a header
    SM_CHANNEL_PREPROCESSING                  `preprocessing.json`
    SM_MODEL_DIR                              becomes model.tar.gz (below)
    SM_OUTPUT_DATA_DIR                        becomes output.tar.gz: history.csv, the metrics of each round
    SM_OUTPUT_DIR                             `failure` is written there

The model's artefact holds all that an endpoint needs:

    model.json           the trees, as many as were best on the validation part
    preprocessing.json   how raw rows become the trees' inputs
    decision.json        the threshold, and what it was chosen by
    code/                `inference.py` and what it imports

**Weights.** Where one class is rare, an error on it weighs as much more as it is rarer (`--class_weights balanced`).
That shifts the scores, so 0.5 means nothing any more: the threshold is chosen on the validation part, for the best
F-score. `--beta 1` weighs precision and recall alike, `--beta 2` recall twice as much. The test part has no say in it.

**Resuming.** Every `--checkpoint_rounds` rounds the trees and the state of the early stopping go to `--checkpoints`, a
folder that SageMaker keeps in S3. A job whose machine was taken away finds them there and goes on to the same model, to
the byte: XGBoost is begun anew at each of these points, with a seed of its own, interrupted or not, as it does not save
the state of its random numbers. Checkpoints of other data or settings are left alone. A job that is asked to stop just
ends; what it has is at most that many rounds old.

Metrics for regular expressions, a line a round: `[12] train-logloss:0.21 ... validation-aucpr:0.63`, then one line
`best round 31 validation-aucpr:0.64`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from failure import JobError, run

METRICS = ("logloss", "auc", "aucpr")
# What the endpoint needs beside the model; it lies beside this script.
SERVED = ("inference.py", "features.py")


@dataclass
class Progress:
    """How far the training is: rounds done, and what the early stopping looks at."""

    fingerprint: str
    rounds: int = 0
    best_round: int = 0
    best: float = -np.inf
    history: list[dict[str, float]] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job; 0, or 1 with the reason told."""
    parser = argparse.ArgumentParser(description="Train the model.")
    parser.add_argument("--num_round", type=int, default=400)
    parser.add_argument("--early_stopping_rounds", type=int, default=40)
    parser.add_argument("--eval_metric", choices=METRICS, default="aucpr", help="what early stopping goes by")
    parser.add_argument("--max_depth", type=int, default=4)
    parser.add_argument("--eta", type=float, default=0.1)
    parser.add_argument("--min_child_weight", type=float, default=1.0)
    parser.add_argument("--subsample", type=float, default=0.8)
    parser.add_argument("--colsample_bytree", type=float, default=0.8)
    parser.add_argument("--reg_lambda", type=float, default=1.0)
    parser.add_argument("--class_weights", choices=("balanced", "none"), default="balanced")
    parser.add_argument("--beta", type=float, default=1.0, help="how much recall weighs in the threshold's choice")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=0, help="0: by the size of the data")
    parser.add_argument("--checkpoints", type=Path, help="folder that outlives the job")
    parser.add_argument("--checkpoint_rounds", type=int, default=20)
    # The service's own hyperparameters, such as sagemaker_program, may come along.
    chosen, _ = parser.parse_known_args(arguments)
    folder = os.environ.get("SM_OUTPUT_DIR")
    return run(lambda: train(chosen, os.environ), Path(folder) / "failure" if folder else None)


def train(chosen: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Trains and writes the artefact. Raises JobError for channels that are not as they should be."""
    names, train_part, train_label = _read(Path(environment["SM_CHANNEL_TRAIN"]))
    _, validation_part, validation_label = _read(Path(environment["SM_CHANNEL_VALIDATION"]), names)
    weight = _weight(train_label) if chosen.class_weights == "balanced" else 1.0
    settings = {
        "objective": "binary:logistic",
        "eval_metric": list(METRICS),
        "tree_method": "hist",
        "max_depth": chosen.max_depth,
        "eta": chosen.eta,
        "min_child_weight": chosen.min_child_weight,
        "subsample": chosen.subsample,
        "colsample_bytree": chosen.colsample_bytree,
        "reg_lambda": chosen.reg_lambda,
        "scale_pos_weight": weight,
        # Threads wait for each other longer than they work where there is little to do.
        "nthread": chosen.threads or (1 if train_part.size < 2_000_000 else os.cpu_count() or 1),
    }
    watched = [
        (xgb.DMatrix(train_part, train_label, feature_names=names), "train"),
        (xgb.DMatrix(validation_part, validation_label, feature_names=names), "validation"),
    ]
    progress = Progress(_fingerprint(settings, chosen, train_part, train_label, validation_part, validation_label))
    trees = b""
    if chosen.checkpoints is not None:
        found = _resume(chosen.checkpoints, progress.fingerprint)
        if found is not None:
            progress, trees = found
            print(f"resumed after round {progress.rounds}", flush=True)
    booster = _begin(settings, chosen.seed, watched, progress, trees)
    while progress.rounds < chosen.num_round and progress.rounds < progress.best_round + chosen.early_stopping_rounds:
        booster.update(watched[0][0], progress.rounds)
        _note(booster, watched, progress, chosen.eval_metric)
        if progress.rounds % chosen.checkpoint_rounds == 0:
            trees = bytes(booster.save_raw("ubj"))
            if chosen.checkpoints is not None:
                _keep(chosen.checkpoints, trees, progress)
            booster = _begin(settings, chosen.seed, watched, progress, trees)

    best = booster[: progress.best_round]
    print(f"best round {progress.best_round} validation-{chosen.eval_metric}:{abs(progress.best):.6f}", flush=True)
    decision = choose_threshold(validation_label, best.predict(watched[1][0]), chosen.beta)
    _write(Path(environment["SM_MODEL_DIR"]), best, decision, Path(environment["SM_CHANNEL_PREPROCESSING"]))
    if "SM_OUTPUT_DATA_DIR" in environment:
        _write_history(Path(environment["SM_OUTPUT_DATA_DIR"]), progress)


def choose_threshold(label: Any, score: Any, beta: float) -> dict[str, float]:
    """The score from which a row counts as positive, by the best F-score, and that F-score.

    The threshold lies halfway between two scores, so that rounding does not turn a decision.
    """
    order = np.argsort(-score, kind="stable")
    sorted_score, hits = score[order], np.cumsum(label[order])
    flagged = np.arange(1, len(score) + 1)
    f_score = (1 + beta**2) * hits / (flagged + beta**2 * np.sum(label))
    # Rows with the same score are on the same side.
    last = np.append(sorted_score[:-1] != sorted_score[1:], True)
    f_score = np.where(last, f_score, -1.0)
    at = int(np.argmax(f_score))
    below = float(sorted_score[at + 1]) if at + 1 < len(score) else 0.0
    return {"threshold": (float(sorted_score[at]) + below) / 2, "beta": beta, "validation_f_score": float(f_score[at])}


# --- Reading ---------------------------------------------------------------------------------------------------------


def _read(folder: Path, names: list[str] | None = None) -> tuple[list[str], Any, Any]:
    """Names of the inputs, inputs as float32, and labels of the one CSV in a folder."""
    files = sorted(folder.glob("*.csv"))
    if len(files) != 1:
        raise JobError(f"The channel {folder.name} has {len(files)} CSV files instead of one.")
    with files[0].open(encoding="utf-8") as source:
        header = source.readline().rstrip("\r\n").split(",")
        try:
            values = np.loadtxt(source, delimiter=",", dtype=np.float32, ndmin=2)
        except ValueError as error:
            raise JobError(f"The channel {folder.name} does not hold the numbers that its header promises.") from error
    if names is not None and header[1:] != names:
        raise JobError(f"The channel {folder.name} has other columns than the training part.")
    label = values[:, 0]
    if len(np.unique(label)) != 2:
        raise JobError(f"The channel {folder.name} has one class only: two are needed.")
    return header[1:], np.ascontiguousarray(values[:, 1:]), label


def _weight(label: Any) -> float:
    positive = float(np.sum(label))
    return (len(label) - positive) / positive


# --- Rounds and checkpoints ------------------------------------------------------------------------------------------


def _begin(
    settings: Mapping[str, Any], seed: int, watched: list[tuple[xgb.DMatrix, str]], progress: Progress, trees: bytes
) -> xgb.Booster:
    """XGBoost at the beginning of a stretch between two checkpoints: the same, whatever was before."""
    return xgb.Booster(
        {**settings, "seed": seed + progress.rounds},
        [matrix for matrix, _ in watched],
        model_file=bytearray(trees) if trees else None,
    )


def _note(booster: xgb.Booster, watched: list[tuple[xgb.DMatrix, str]], progress: Progress, metric: str) -> None:
    told = str(booster.eval_set(watched, progress.rounds))
    found = {name: float(value) for name, value in (part.split(":") for part in told.split("\t")[1:])}
    progress.rounds += 1
    progress.history.append(found)
    print(f"[{progress.rounds}] " + " ".join(f"{name}:{value:.6f}" for name, value in found.items()), flush=True)
    reached = found[f"validation-{metric}"] * (-1.0 if metric == "logloss" else 1.0)
    if reached > progress.best:
        progress.best, progress.best_round = reached, progress.rounds


def _fingerprint(settings: Mapping[str, Any], chosen: argparse.Namespace, *parts: Any) -> str:
    """Of all that the rounds depend on. Not of how many they are: more of the same may follow."""
    told = {
        **settings,
        "metric": chosen.eval_metric,
        "seed": chosen.seed,
        "stretch": chosen.checkpoint_rounds,
        "xgboost": xgb.__version__,
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _keep(folder: Path, trees: bytes, progress: Progress) -> None:
    """The state is written last and names its trees, so a half-written checkpoint is none."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"trees-{progress.rounds:06d}.ubj"
    state = json.dumps({**asdict(progress), "trees": file.name}).encode()
    for place, content in ((file, trees), (folder / "state.json", state)):
        half = place.with_name(f"half-{place.name}")
        half.write_bytes(content)
        half.replace(place)
    for old in folder.glob("trees-*.ubj"):
        if old != file:
            old.unlink()


def _resume(folder: Path, fingerprint: str) -> tuple[Progress, bytes] | None:
    state = folder / "state.json"
    if not state.is_file():
        return None
    try:
        found = json.loads(state.read_text())
        trees = folder / str(found.pop("trees"))
        progress = Progress(**found)
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(f"The checkpoint cannot be read: {type(error).__name__}.") from error
    if progress.fingerprint != fingerprint:
        print("the checkpoint is of other data or settings: starting anew", flush=True)
        return None
    if not trees.is_file():
        # Interrupted while the folder was copied.
        print("the checkpoint is not whole: starting anew", flush=True)
        return None
    return progress, trees.read_bytes()


# --- Writing ---------------------------------------------------------------------------------------------------------


def _write(folder: Path, booster: xgb.Booster, decision: Mapping[str, float], preprocessing: Path) -> None:
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    booster.save_model(folder / "model.json")
    (folder / "decision.json").write_text(json.dumps(decision, indent=1) + "\n")
    shutil.copyfile(preprocessing / "preprocessing.json", folder / "preprocessing.json")
    for name in SERVED:
        shutil.copyfile(Path(__file__).with_name(name), code / name)


def _write_history(folder: Path, progress: Progress) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = list(progress.history[0])
    lines = [",".join(["round", *names])]
    lines += [
        ",".join([str(at), *(f"{row[name]:.6f}" for name in names)]) for at, row in enumerate(progress.history, 1)
    ]
    (folder / "history.csv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
