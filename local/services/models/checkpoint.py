"""Reads weights that PyTorch saved, without PyTorch."""

import collections
import hashlib
import pickle
import struct
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class UnreadableWeights(ValueError):  # noqa: N818 (named after what is wrong)
    """The file is not the one that was pinned, or is not what this reader understands."""


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_checkpoint(path: Path, sha256: str) -> dict[str, Array]:
    """The tensors of a checkpoint in PyTorch's format before version 1.6, by name.

    The file must have the given SHA-256. That, and an unpickler that builds nothing but tensors, keep a swapped file
    from running code. Raises UnreadableWeights.
    """
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise UnreadableWeights(f"{path.name} has SHA-256 {found}, not {sha256}: install the requirements anew.")
    with path.open("rb") as stream:
        # Three pickles come first: a magic number, the format's version, and the sizes of C types on the writer.
        for _ in range(3):
            _Unpickler(stream).load()
        tensors: dict[str, _Tensor] = _Unpickler(stream).load()
        storages = _read_storages(stream, {tensor.storage for tensor in tensors.values()})
    return {name: _materialise(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


class _Unpickler(pickle.Unpickler):
    """Knows ordered dictionaries and tensors, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, tuple(shape), tuple(strides))
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise UnreadableWeights(f"The weights ask for {module}.{name}, which no tensor needs.")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, *_ = pid
        if kind != "storage":
            raise UnreadableWeights(f"The weights refer to a {kind}, not to a storage.")
        return _Storage(key, dtype)


def _read_storages(stream: IO[bytes], wanted: set[_Storage]) -> dict[str, Array]:
    dtypes = {storage.key: storage.dtype for storage in wanted}
    storages = {}
    for key in _Unpickler(stream).load():
        (count,) = struct.unpack("<q", stream.read(8))
        size = count * dtypes[key].itemsize
        raw = stream.read(size)
        if len(raw) != size:
            raise UnreadableWeights("The weights end too early.")
        storages[key] = np.frombuffer(raw, dtypes[key])
    return storages


def _materialise(tensor: _Tensor, storage: Array) -> Array:
    # Some tensors were saved transposed: read in order of memory, their numbers would be right and their meaning wrong.
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.strides)) < 0 or min(tensor.shape, default=1) < 1 or last >= storage.size:
        raise UnreadableWeights("A tensor reaches outside its storage.")
    steps = [stride * storage.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, steps)
    return np.array(view)
