"""How the models are read, built, cached and shared."""

from __future__ import annotations

import hashlib
import os
import pickle
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from local.services.models.checkpoint import UnreadableWeights, read_checkpoint
from local.services.models.labels import LabelModel, label_model
from local.services.models.runtime import cached, threads
from tests.local.standin import PHOTOS

ROOT = Path(__file__).parents[2]


def checkpoint(folder: Path, tensors: dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]], values: Any) -> Path:
    """A checkpoint as PyTorch wrote it before 1.6: tensors (offset, shape, strides) over one storage of floats."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    storage_type = type("FloatStorage", (), {"__module__": "torch", "__qualname__": "FloatStorage"})

    def rebuild(*_: object) -> None:
        """Named in the file, called by the reader's own stand-in only."""

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    vars(torch)["FloatStorage"], vars(utils)["_rebuild_tensor_v2"] = storage_type, rebuild

    class Tensor:
        def __init__(self, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
            self.parts = (offset, shape, strides)

        def __reduce__(self) -> tuple[Any, ...]:
            return rebuild, (Storage(), *self.parts, False, {})

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return ("storage", storage_type, "0", "cpu", len(values), None) if isinstance(obj, Storage) else None

    path = folder / "weights.pth"
    with pytest.MonkeyPatch.context() as patch, path.open("wb") as file:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", utils)
        preamble: list[Any] = [0x1950A86A20F9469CFC6C, 1001, {}]
        for part in preamble:
            pickle.dump(part, file, protocol=2)
        Pickler(file, protocol=2).dump({name: Tensor(*parts) for name, parts in tensors.items()})
        pickle.dump(["0"], file, protocol=2)
        file.write(struct.pack("<q", len(values)) + np.asarray(values, dtype="<f4").tobytes())
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_tensor_is_read_in_the_order_of_its_strides(tmp_path: Path) -> None:
    # Given two tensors over the same six numbers, one of them stored transposed
    path = checkpoint(
        tmp_path, {"plain": (0, (2, 3), (3, 1)), "turned": (0, (2, 3), (1, 2)), "end": (4, (2,), (1,))}, range(6)
    )
    # When they are read
    found = read_checkpoint(path, digest(path))
    # Then each number stands where its strides say
    assert found["plain"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["turned"].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert found["end"].tolist() == [4, 5]


@pytest.mark.parametrize("parts", [(0, (2, 4), (3, 1)), (5, (2,), (1,)), (0, (2,), (-1,)), (-1, (2,), (1,))])
def test_a_tensor_that_reaches_outside_its_storage_is_refused(tmp_path: Path, parts: Any) -> None:
    # Given a tensor that claims numbers before or behind its storage
    path = checkpoint(tmp_path, {"bad": parts}, range(6))
    # When it is read
    # Then memory that is not its own is never touched
    with pytest.raises(UnreadableWeights, match="outside its storage"):
        read_checkpoint(path, digest(path))


def test_weights_that_want_to_run_code_are_refused(tmp_path: Path) -> None:
    # Given a pickle that calls a function when it is loaded
    class Malice:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "made"),)

    path = tmp_path / "weights.pth"
    parts: list[Any] = [1, 2, {}, Malice()]
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    # When it is read
    # Then the function is not even looked up
    with pytest.raises(UnreadableWeights, match="which no tensor needs"):
        read_checkpoint(path, digest(path))
    assert not (tmp_path / "made").exists()


def test_other_weights_than_the_pinned_ones_are_refused(tmp_path: Path) -> None:
    # Given a file that was swapped or cut short
    path = checkpoint(tmp_path, {"plain": (0, (2, 3), (3, 1))}, range(6))
    expected = digest(path)
    path.write_bytes(path.read_bytes()[:-1])
    # When it is read
    # Then it is refused before anything in it is
    with pytest.raises(UnreadableWeights, match="install the requirements anew"):
        read_checkpoint(path, expected)


def test_a_built_graph_is_kept_and_a_damaged_one_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an empty cache
    monkeypatch.setenv("LOCAL_MODEL_CACHE", str(tmp_path / "models"))
    built: list[int] = []

    def build() -> bytes:
        built.append(1)
        return b"graph" * 100

    # When a graph is asked for twice
    # Then it is built once
    assert cached("graph.onnx", build) == cached("graph.onnx", build) == b"graph" * 100
    assert len(built) == 1
    # When the file is cut, altered or emptied
    path = tmp_path / "models" / "graph.onnx"
    whole = path.read_bytes()
    for number, damaged in enumerate([whole[:-7], b"x" + whole[1:], b""], start=2):
        path.write_bytes(damaged)
        # Then it is built again, and nothing else is left behind
        assert cached("graph.onnx", build) == b"graph" * 100
        assert len(built) == number
    assert [file.name for file in path.parent.iterdir()] == ["graph.onnx"]


def test_a_cache_that_cannot_be_written_only_costs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a file where the cache's folder should be
    (tmp_path / "models").write_text("in the way")
    monkeypatch.setenv("LOCAL_MODEL_CACHE", str(tmp_path / "models"))
    # When a graph is asked for
    # Then it is built and used, and the log says that it was not kept
    assert cached("graph.onnx", lambda: b"graph") == b"graph"
    assert "is not kept" in caplog.text


def test_two_processes_may_build_the_label_model_at_once(tmp_path: Path) -> None:
    # Given an empty cache and two processes that start together
    code = (
        "import pathlib, sys; from local.services.models.labels import label_model;"
        "print(label_model().classify(pathlib.Path(sys.argv[1]).read_bytes()).argmax())"
    )
    command = [sys.executable, "-c", code, str(PHOTOS / "chelsea.jpg")]
    environment = {**os.environ, "LOCAL_MODEL_CACHE": str(tmp_path)}
    # When both load the model
    started = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    answers = [process.communicate(timeout=60)[0].strip() for process in started]
    # Then both have the whole model and see the same cat, and the cache holds one file
    assert [process.returncode for process in started] == [0, 0]
    assert answers[0] == answers[1]
    assert int(answers[0]) in range(281, 286)
    assert [file.suffix for file in tmp_path.iterdir()] == [".onnx"]


def test_a_model_is_loaded_once_however_many_ask_for_it() -> None:
    # Given several threads
    data = (PHOTOS / "chelsea.jpg").read_bytes()
    with ThreadPoolExecutor(4) as pool:
        # When all ask for the model at once and use it
        models = list(pool.map(lambda _: label_model(), range(8)))
        answers = list(pool.map(lambda model: model.classify(data), models))
    # Then they share one, and it gives each the same answer
    assert all(model is models[0] for model in models)
    assert isinstance(models[0], LabelModel)
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


@pytest.mark.parametrize(("told", "number"), [(None, 2), ("1", 1), ("4", 4)])
def test_a_slow_model_takes_as_many_threads_as_it_is_told(
    monkeypatch: pytest.MonkeyPatch, told: str | None, number: int
) -> None:
    monkeypatch.delenv("LOCAL_MODEL_THREADS")
    if told:
        monkeypatch.setenv("LOCAL_MODEL_THREADS", told)
    assert threads() == number
