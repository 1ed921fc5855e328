"""Writes the definitions anew: `make definitions`.

A definition is committed, so that deploying and running one needs no SageMaker SDK, which takes 700 MB. Only this does:
it runs with the Python of the environment that the SDK has for itself, `.venv/sagemaker`.

    python -m pipelines.generate            writes `pipelines/<case>/definition.json`, and beside them what they are of
    python -m pipelines.generate --print    writes one JSON object to the output instead: case to definition, as text
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import sys
from collections.abc import Sequence

from pipelines.definition.archive import CASES, FOLDER, Case

STAMP = FOLDER / "definitions.sha256"


def definition(case: Case) -> str:
    """The text of a case's definition file. Reaches no network."""
    from pipelines.definition.session import OfflineSession, with_placeholders

    module = importlib.import_module(f"pipelines.{case}.pipeline")
    built = json.loads(with_placeholders(module.build(OfflineSession()).definition()))
    # What the SDK writes for what was not asked for.
    built = {name: value for name, value in built.items() if value is not None}
    return json.dumps(built, indent=1, ensure_ascii=False) + "\n"


def stamp() -> str:
    """The digest of the definitions and of all that they are made from: to compare it takes no SDK.

    `STAMP` holds the one at which the definitions were made last. The digest is of the files' bytes, in hexadecimal.
    """
    parts = ["generate.py", "definition/*.py", "*/pipeline.py", "*/definition.json", "../requirements/sagemaker.txt"]
    digest = hashlib.sha256()
    for part in parts:
        for file in sorted(FOLDER.glob(part)):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.parent.name}/{file.name} {content}\n".encode())
    return digest.hexdigest()


def main(arguments: Sequence[str]) -> int:
    """Writes or prints all definitions. Exit code 0."""
    logging.disable(logging.WARNING)
    made = {case: definition(case) for case in CASES}
    if "--print" in arguments:
        print(json.dumps(made))
        return 0
    for case, text in made.items():
        (FOLDER / case / "definition.json").write_text(text, encoding="utf-8")
        print(f"Wrote pipelines/{case}/definition.json")
    STAMP.write_text(f"{stamp()}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
