"""The archive of `pipelines/` that jobs unpack: the same bytes for the same sources, whoever makes it."""

from __future__ import annotations

import gzip
import hashlib
import io
import pathlib
import tarfile
import tempfile
from collections.abc import Mapping

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "pipelines"
BUILD = ROOT / ".build" / "code"

NAME = "sourcedir.tar.gz"

# Lies where the model in production is to lie, until there is one. The evaluation knows it by the name in it.
NO_MODEL = SOURCES / "jobs" / "no-model.txt"

# What makes definitions runs where SageMaker's SDK is, and never in a job.
LEFT_OUT = ("definition",)


def source_archive() -> tuple[pathlib.Path, str]:
    """`sourcedir.tar.gz` with the folder `pipelines/` in it, and a digest of what is in it.

    It holds Python sources and schemas. Made once for each digest, under `.build/code/`.
    """
    return _archive({file.relative_to(ROOT).as_posix(): file for file in _files()}, NAME)


def no_model_archive() -> pathlib.Path:
    """`model.tar.gz` with `no-model.txt` in it."""
    return _archive({NO_MODEL.name: NO_MODEL}, "model.tar.gz")[0]


def _archive(files: Mapping[str, pathlib.Path], name: str) -> tuple[pathlib.Path, str]:
    digest = hashlib.sha256()
    for place, file in files.items():
        digest.update(f"{place}\0".encode() + file.read_bytes() + b"\0")
    folder = digest.hexdigest()[:16]
    archive = BUILD / folder / name
    if not archive.is_file():
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".new-") as scratch:
            made = pathlib.Path(scratch) / name
            made.write_bytes(_packed(files))
            made.replace(archive)
    return archive, folder


def _files() -> list[pathlib.Path]:
    found = [*SOURCES.rglob("*.py"), *SOURCES.rglob("schema.json")]
    return sorted(file for file in found if not set(file.relative_to(SOURCES).parts) & {*LEFT_OUT, "__pycache__"})


def _packed(files: Mapping[str, pathlib.Path]) -> bytes:
    """Fixed times, owners and modes: the archive's name is part of what a step is cached by."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for place, file in files.items():
            entry = tarfile.TarInfo(place)
            content = file.read_bytes()
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)
