"""The archive that the pipeline's jobs run from, as a file that CDK publishes."""

from __future__ import annotations

import pathlib
import tempfile

from pipelines.definition.archive import Case, archive_bytes, archive_digest

BUILD = pathlib.Path(__file__).resolve().parents[2] / ".build" / "code"

# Under this name jobs expect it.
NAME = "sourcedir.tar.gz"


def source_archive(case: Case) -> tuple[pathlib.Path, str]:
    """The archive of a case, made once under `.build/code/`, and the digest of its content."""
    digest = archive_digest(case)
    archive = BUILD / digest / NAME
    if not archive.is_file():
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".new-") as scratch:
            made = pathlib.Path(scratch) / NAME
            made.write_bytes(archive_bytes(case))
            made.replace(archive)
    return archive, digest
