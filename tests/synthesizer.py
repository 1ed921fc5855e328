"""Synthesis for tests: one process with CDK in it for all assemblies that a process of tests asks for.

`local.assembly` starts the app anew for each assembly, and most of what that takes is CDK's start. What the tests
deploy, some fifty of them, is made by the app's own code in a process that stays. It is what the app makes:
tests/local/test_assembly.py holds one against the other.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local import assembly
from local.environment import node_folder

# The app in a process of its own, as everybody but the tests starts it.
anew = assembly._run_app

App = Callable[..., None]


@contextmanager
def kept() -> Iterator[None]:
    """Has `local.assembly` synthesize for this machine in a process that is started once and ends with the block."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin) as pool:
        replaced = _kept_in(pool)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(assembly, "_run_app", replaced)
            yield


def _kept_in(pool: ProcessPoolExecutor) -> App:
    home = assembly.ROOT

    def run(context: Mapping[str, Any], out: Path, root: Path | None = None) -> None:
        # Templates for AWS are validated, which that process is not set up for; a test may bring an app of its own.
        if context["target"] != "local" or home != assembly.ROOT or root is not None:
            anew(context, out, root)
            return
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in context.items()}
        code, text = pool.submit(_synthesize, texts, str(out)).result(assembly.TIMEOUT_SECONDS)
        if code:
            raise assembly._failure(code, text)

    return run


def _begin() -> None:
    """Sets up the process: what `local.assembly` gives the app, and a file for what CDK prints."""
    os.environ.update(
        JSII_NODE=str(node_folder() / "node"),
        JSII_RUNTIME_PACKAGE_CACHE_ROOT=str(assembly.BUILD / "jsii"),
        CDK_VALIDATION="false",
    )
    with tempfile.TemporaryFile() as said:
        for stream in (1, 2):
            os.dup2(said.fileno(), stream)


def _synthesize(context: Mapping[str, str], out: str) -> tuple[int, str]:
    """The exit code that the app would have, and what it would say."""
    from stacks.assets import AssetError
    from stacks.policy.nag import PolicyError
    from stacks.synth import ContextError, synthesize

    begin = os.lseek(2, 0, os.SEEK_END)
    try:
        synthesize(context, out)
    except (AssetError, PolicyError) as error:
        return 1, f"{os.pread(2, 100_000, begin).decode(errors='replace')}\n{error}"
    except ContextError as error:
        return 2, str(error)
    return 0, ""
