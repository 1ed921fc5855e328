"""Stages the functions: a folder each with the handler's own code and all that it imports beyond boto3.

    python -m stacks.assets local lambda     stages every function for these targets (`make setup` does it)

Two targets, because Pillow is compiled:

- `lambda`: the runtime python3.13 on arm64. It runs on Amazon Linux 2023, whose glibc is 2.34 (AWS Lambda Developer
  Guide, "Lambda runtimes"; Amazon Linux 2023 User Guide, "Core glibc", read 2026-11-23), so wheels up to
  manylinux_2_34 load.
- `local`: this interpreter on this machine, which is what the local cloud runs handlers with.

Dependencies are installed once per lock file into `.build/parts/`; a function's folder is copied together from them and
its sources. So a changed handler needs no installer and no network: only a changed lock file does.
Functions are found by walking `lambdas/<architecture>/<function>/handler.py`; nothing is listed here.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Literal, get_args

Target = Literal["lambda", "local"]

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ROOT / "lambdas"
BUILD = ROOT / ".build"

# Says which of them the CDK app is to build for, where its context does not (`stacks/synth.py`).
TARGET_VARIABLE = "CDK_TARGET"

LAMBDA_PYTHON = "3.13"
LAMBDA_PLATFORM = "aarch64-manylinux_2_34"

# Raise it when the way of staging changes: the digest then changes with it.
LAYOUT = "2"

# 2020-01-01 UTC. A fixed time keeps the archive and its hash the same on every machine; zip knows no year before 1980.
FIXED_TIME = 1_577_836_800

# Left behind by the installer, or of use to type checkers only. Package metadata stays: libraries read their version
# there. Pillow does without its AVIF part, a fifth of it: no service here takes that format.
NOT_SHIPPED = (
    "bin",
    "__pycache__",
    ".lock",
    "*.pyc",
    "*.pyi",
    "py.typed",
    "RECORD",
    "INSTALLER",
    "REQUESTED",
    "_avif.*",
    "libavif*",
)


class AssetError(Exception):
    """A function cannot be staged. `str()` is one clear line with the mend."""


def functions() -> list[tuple[str, str]]:
    """Every function there is, as (architecture id, function folder): `("image-labeling", "label_image")`."""
    found = SOURCES.glob("*/*/handler.py")
    return sorted((handler.parent.parent.name.replace("_", "-"), handler.parent.name) for handler in found)


def function_asset(architecture: str, function: str, target: Target) -> pathlib.Path:
    """The staged folder of a function: the dependencies and the `lambdas/...` subtree, ready to be zipped.

    `architecture` is the catalogue's id (`image-labeling`), `function` the folder (`label_image`). Downloads nothing.
    Raises AssetError when there is no such function, or when its dependencies are not installed yet.
    """
    source = _source(architecture, function)
    folder = BUILD / "lambdas" / architecture / function / f"{target}-{_digest(source, target)}"
    if folder.is_dir():
        return folder
    parts = _parts(source, target)
    if not parts.is_dir():
        wanted = "make setup-dev" if target == "lambda" else "make setup"
        raise AssetError(f"The dependencies of {architecture}/{function} are not staged for {target}: run `{wanted}`.")
    _publish(folder, lambda place: _assemble(place, parts, source))
    return folder


def function_archive(architecture: str, function: str, target: Target) -> pathlib.Path:
    """The zip file of a function's staged folder, beside it and made once: `local-<digest>.zip`.

    With a folder instead, each synthesis would copy its hundreds of files, and each deployment zip them. Raises
    AssetError as `function_asset` does.
    """
    folder = function_asset(architecture, function, target)
    archive = folder.with_name(f"{folder.name}.zip")
    if not archive.is_file():
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as scratch:
            place = pathlib.Path(scratch) / archive.name
            with place.open("wb") as out:
                write_zip(folder, out)
            place.replace(archive)
    return archive


def write_zip(folder: pathlib.Path, out: IO[bytes]) -> None:
    """Writes the files of `folder` to the binary file `out` as a zip that is the same, byte for byte, every time.

    Names are sorted, times are fixed, of a file's mode only the executable bit is kept.
    """
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
            if not file.is_file():
                continue
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, whatever the system here, so that the mode below counts.
            entry.external_attr = (0o755 if file.stat().st_mode & 0o100 else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            with file.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target)


def install_parts(architecture: str, function: str, target: Target) -> pathlib.Path:
    """Installs the locked dependencies of a function, if they are not there, and returns their folder.

    Only wheels, only with the hashes of the lock file. Raises AssetError with the installer's last line when it fails.
    """
    source = _source(architecture, function)
    parts = _parts(source, target)
    if not parts.is_dir():
        _publish(parts, lambda place: _install(place, source / "requirements.txt", target))
    return parts


def stage_all(targets: Sequence[Target]) -> list[pathlib.Path]:
    """Stages every function for these targets and removes what earlier sources or lock files left behind."""
    staged: list[pathlib.Path] = []
    parts: list[pathlib.Path] = []
    for architecture, function in functions():
        for target in targets:
            parts.append(install_parts(architecture, function, target))
            folder = function_asset(architecture, function, target)
            staged += [folder, folder.with_name(f"{folder.name}.zip")]
    for target in targets:
        _prune(BUILD.glob(f"lambdas/*/*/{target}-*"), keep=staged)
        _prune(BUILD.glob(f"parts/{target}-*"), keep=parts)
    return [path for path in staged if path.is_dir()]


def _source(architecture: str, function: str) -> pathlib.Path:
    source = SOURCES / architecture.replace("-", "_") / function
    if not (source / "handler.py").is_file():
        known = ", ".join("/".join(pair) for pair in functions())
        raise AssetError(f"There is no function {architecture}/{function}. There are: {known}.")
    return source


def _sources(source: pathlib.Path) -> list[pathlib.Path]:
    """The files that a function ships: its own modules, those beside its folder, which its architecture shares, and
    those that all share."""
    places = {source.parent, SOURCES / "shared"}
    beside = [path for place in sorted(places) for path in sorted(place.glob("*.py"))]
    return [SOURCES / "__init__.py", *beside, *sorted(source.rglob("*.py"))]


def _digest(source: pathlib.Path, target: Target) -> str:
    digest = hashlib.sha256(_parts(source, target).name.encode())
    for path in _sources(source):
        digest.update(f"\0{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _parts(source: pathlib.Path, target: Target) -> pathlib.Path:
    lock = (source / "requirements.txt").read_bytes()
    digest = hashlib.sha256("\0".join((LAYOUT, *_interpreter(target))).encode() + lock)
    return BUILD / "parts" / f"{target}-{digest.hexdigest()[:16]}"


def _interpreter(target: Target) -> tuple[str, ...]:
    if target == "lambda":
        return LAMBDA_PLATFORM, LAMBDA_PYTHON
    return sys.platform, platform.machine(), sys.implementation.cache_tag


def _install(place: pathlib.Path, lock: pathlib.Path, target: Target) -> None:
    wanted = ["--python", sys.executable]
    if target == "lambda":
        wanted = ["--python-platform", LAMBDA_PLATFORM, "--python-version", LAMBDA_PYTHON]
    # Copies, not links into the installer's cache: their times are set below.
    command = [_uv(), "pip", "install", "--quiet", "--link-mode", "copy", "--target", str(place), *wanted]
    command += ["--require-hashes", "--only-binary", ":all:", "--requirements", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own installer)
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise AssetError(f"Installing {lock.relative_to(ROOT)} for {target} failed: {' '.join(said)}")
    for pattern in NOT_SHIPPED:
        for path in sorted(place.rglob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _assemble(place: pathlib.Path, parts: pathlib.Path, source: pathlib.Path) -> None:
    shutil.copytree(parts, place, dirs_exist_ok=True, symlinks=True)
    for path in _sources(source):
        destination = place / path.relative_to(ROOT)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, destination)


def _publish(folder: pathlib.Path, build: Callable[[pathlib.Path], None]) -> None:
    """Builds a folder beside its place and renames it there, so that two stagings at once never see a half one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as scratch:
        place = pathlib.Path(scratch) / folder.name
        place.mkdir()
        build(place)
        for path in [*place.rglob("*"), place]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)
                os.utime(path, (FIXED_TIME, FIXED_TIME))
        try:
            place.rename(folder)
        except OSError:
            # Another staging of the same digest came first: its folder holds the same.
            if not folder.is_dir():
                raise


def _prune(found: Iterable[pathlib.Path], keep: Sequence[pathlib.Path]) -> None:
    for path in set(found) - set(keep):
        if path.is_file():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path, ignore_errors=True)


@functools.cache
def _uv() -> str:
    beside = pathlib.Path(sys.executable).parent / "uv"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise AssetError("The installer `uv` is missing beside this Python: run `make setup`.")
    return found


def _targets(arguments: Sequence[str]) -> Iterator[Target]:
    known: tuple[Target, ...] = get_args(Target)
    for argument in arguments or known:
        if argument not in known:
            raise AssetError(f"There is no target {argument!r}. There are: {', '.join(known)}.")
        yield argument


def main(arguments: Sequence[str]) -> int:
    """Stages every function for the targets that are named, or for both. Exit code 0, or another with one line."""
    try:
        before = set(BUILD.glob("lambdas/*/*/*"))
        for folder in stage_all(list(_targets(arguments))):
            if folder not in before:
                print(f"Staged {folder.relative_to(BUILD)}")
    except AssetError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"The functions cannot be staged: {error.strerror or error} ({error.filename or BUILD}).", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
