"""Cold start and size of every function, beside `import boto3` alone.

    python -m bench.imports

A cold start is a fresh interpreter that imports the staged handler, clients included, from the staged folder; runs
alternate with the plain import, so that a busy machine slows both. Two figures, because Lambda compiles a function's
modules at every cold start (its folder cannot be written to), while a machine with a cache does it once:

- `cached`: all modules compiled before. The bar is on this one: it compares like with like.
- `sources`: boto3 compiled before (the runtime brings it), the function's folder not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence

from local.assembly import synthesize
from stacks.assets import function_asset, functions
from stacks.catalogue import available

RUNS = 7

# The bars of the project.
MAXIMUM_RATIO = 1.75
MAXIMUM_OWN_BYTES = 100_000
MAXIMUM_OTHER_BYTES_ZIPPED = 10_000_000

_TIMED = """
import sys, time
sys.path.insert(0, sys.argv[2])
began = time.perf_counter()
__import__(sys.argv[1])
print(time.perf_counter() - began)
"""

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclasses.dataclass(frozen=True)
class ImportTime:
    """Medians, in seconds."""

    architecture: str
    function: str
    boto3: float
    cached: float
    sources: float

    @property
    def ratio(self) -> float:
        """How many times as long as `import boto3` the cached import takes."""
        return self.cached / self.boto3


@dataclasses.dataclass(frozen=True)
class AssetSize:
    """Bytes of the folder for Lambda: own code as it is, other parts zipped, everything zipped."""

    architecture: str
    function: str
    own: int
    other_zipped: int
    zipped: int


def import_times(runs: int = RUNS) -> list[ImportTime]:
    """Measures every function; needs the folders staged for `local` (raises AssetError otherwise)."""
    found = variables()
    return [_import_time(architecture, function, runs, found) for architecture, function in functions()]


def variables() -> dict[str, dict[str, str]]:
    """What each handler's module finds in its environment, as the default templates have it.

    A value that is known at deployment only (a name, an ARN) is a made-up ARN here: importing calls nothing.
    """
    assembly = synthesize(None, "local")
    found: dict[str, dict[str, str]] = {}
    for architecture in available():
        template = json.loads((assembly / f"{architecture.id}.template.json").read_text(encoding="utf-8"))
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Lambda::Function":
                properties = resource["Properties"]
                held = properties.get("Environment", {}).get("Variables", {})
                found[properties["Handler"].rpartition(".")[0]] = {
                    name: value if isinstance(value, str) else f"arn:aws:service:us-east-1:123456789012:{name}"
                    for name, value in held.items()
                }
    return found


def _import_time(architecture: str, function: str, runs: int, found: Mapping[str, Mapping[str, str]]) -> ImportTime:
    staged = function_asset(architecture, function, "local")
    module = f"lambdas.{architecture.replace('-', '_')}.{function}.handler"
    held = found[module]
    with tempfile.TemporaryDirectory() as scratch:
        whole, without = pathlib.Path(scratch, "whole"), pathlib.Path(scratch, "without")
        for warm_up in ("boto3", module):
            _timed(warm_up, staged, held, ["-X", f"pycache_prefix={whole}"])
        # A cache mirrors the paths of what it holds.
        shutil.copytree(whole, without)
        shutil.rmtree(without / staged.relative_to(staged.anchor))
        rounds = [
            {
                "boto3": _timed("boto3", staged, held, ["-B", "-X", f"pycache_prefix={whole}"]),
                "cached": _timed(module, staged, held, ["-B", "-X", f"pycache_prefix={whole}"]),
                "sources": _timed(module, staged, held, ["-B", "-X", f"pycache_prefix={without}"]),
            }
            for _ in range(runs)
        ]
    medians = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    return ImportTime(architecture, function, **medians)


def asset_sizes() -> list[AssetSize]:
    """Measures every function's folder for Lambda (raises AssetError if it is not staged)."""
    measured = []
    for architecture, function in functions():
        staged = function_asset(architecture, function, "lambda")
        files = [path for path in staged.rglob("*") if path.is_file()]
        own = [path for path in files if path.is_relative_to(staged / "lambdas")]
        others = [path for path in files if path not in set(own)]
        sizes = sum(path.stat().st_size for path in own), _zipped(others, staged), _zipped(files, staged)
        measured.append(AssetSize(architecture, function, *sizes))
    return measured


def _timed(module: str, staged: pathlib.Path, held: Mapping[str, str], options: Sequence[str]) -> float:
    command = [sys.executable, *options, "-c", _TIMED, module, str(staged)]
    environment = {**_ENVIRONMENT, **held, "PATH": os.environ.get("PATH", "")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 (this Python)
    return float(done.stdout.splitlines()[-1])


def _zipped(files: Iterable[pathlib.Path], root: pathlib.Path) -> int:
    """The size of a ZIP archive of these files: functions share most of theirs, which are compressed once."""
    # Of an entry: 30 bytes and the name before it, 46 and the name in the directory. The archive ends with 22.
    names = ((path, len(path.relative_to(root).as_posix().encode())) for path in files)
    return 22 + sum(30 + 46 + 2 * name + _deflated(path) for path, name in names)


_sizes: dict[bytes, int] = {}


def _deflated(path: pathlib.Path) -> int:
    content = path.read_bytes()
    digest = hashlib.sha256(content).digest()
    if digest not in _sizes:
        compressor = zlib.compressobj(wbits=-15)
        _sizes[digest] = len(compressor.compress(content)) + len(compressor.flush())
    return _sizes[digest]


def main() -> int:
    """Prints both tables. Exit code 1 when a bar is missed."""
    times, sizes = import_times(), asset_sizes()
    bars = (
        f"{MAXIMUM_RATIO} x boto3, own code {MAXIMUM_OWN_BYTES:,} bytes, others {MAXIMUM_OTHER_BYTES_ZIPPED:,} zipped"
    )
    print(f"bars: {bars}")
    print(f"\n{'import':32} {'boto3':>9} {'cached':>9} {'sources':>9} {'ratios':>12}")
    for t in times:
        name, times_ms = f"{t.architecture}/{t.function}", (1000 * t.boto3, 1000 * t.cached, 1000 * t.sources)
        figures = " ".join(f"{ms:6.0f} ms" for ms in times_ms)
        print(f"{name:32} {figures} {t.ratio:5.2f} {t.sources / t.boto3:6.2f}")
    print(f"\n{'bytes for Lambda':32} {'own':>12} {'others zipped':>14} {'all zipped':>12}")
    for s in sizes:
        print(f"{f'{s.architecture}/{s.function}':32} {s.own:12,} {s.other_zipped:14,} {s.zipped:12,}")
    kept = all(t.ratio <= MAXIMUM_RATIO for t in times)
    small = all(s.own <= MAXIMUM_OWN_BYTES and s.other_zipped <= MAXIMUM_OTHER_BYTES_ZIPPED for s in sizes)
    return 0 if kept and small else 1


if __name__ == "__main__":
    sys.exit(main())
