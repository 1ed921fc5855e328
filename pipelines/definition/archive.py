"""The source archive that a pipeline's jobs run from: `sourcedir.tar.gz`, the same to the byte for the same sources.

    train.py, prepare.py, ...        the scripts of `pipelines/jobs`, at the top, as SageMaker's script mode wants them
    schema.json                      of the case
    no-model.txt                     see `pipelines/jobs/evaluate.py`
    pipelines/monitoring/...         the monitor, whose baseline the pipeline makes

Needs the standard library only, so that a stack can call it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, get_args

Case = Literal["deliveries", "tumors"]
CASES: tuple[Case, ...] = get_args(Case)

FOLDER = Path(__file__).resolve().parents[1]


def write_archive(case: Case, out: IO[bytes]) -> None:
    """Writes the archive of a case to the binary file `out`. Names are sorted; times, owners and modes are fixed."""
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, file in sorted(_sources(case)):
            entry = tarfile.TarInfo(name)
            content = file.read_bytes()
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))


def archive_bytes(case: Case) -> bytes:
    """The archive of a case, in memory: some tens of kB."""
    out = io.BytesIO()
    write_archive(case, out)
    return out.getvalue()


def archive_digest(case: Case) -> str:
    """A name for the archive's content, 16 hexadecimal digits: a changed source has another."""
    return hashlib.sha256(archive_bytes(case)).hexdigest()[:16]


def _sources(case: Case) -> Iterator[tuple[str, Path]]:
    """Name in the archive, and file."""
    for file in (FOLDER / "jobs").iterdir():
        if file.suffix in (".py", ".txt"):
            yield file.name, file
    yield "schema.json", FOLDER / case / "schema.json"
    yield "pipelines/__init__.py", FOLDER / "__init__.py"
    for file in (FOLDER / "monitoring").rglob("*.py"):
        yield f"pipelines/{file.relative_to(FOLDER).as_posix()}", file
