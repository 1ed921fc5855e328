"""A LocalStack as a cloud: a core that is started here, or the user's own.

The core runs without a container and without a token. Its process, the one between it and the project, and all
functions end together; its files lie in `.local/<name>/`, as those of the embedded cloud do.
"""

from __future__ import annotations

import socket
import subprocess
import urllib.parse
from typing import Any, ClassVar

from local.cloud import CloudError, LocalCloud
from local.environment import ROOT_KEYS, child_environment
from local.localstack import core

NAME = "localstack"


class LocalStack(LocalCloud):
    """A running LocalStack core with the project's services in it. Made by `start` or `attach`, as a LocalCloud is.

    LocalStack speaks plain HTTP here: its own certificate is for a public name. `control` reaches the project's
    services alone (`local.localstack.host`).
    """

    module: ClassVar[str] = "local.localstack"
    # Its modules are 2,000, which take their time to read on a busy machine.
    start_seconds: ClassVar[float] = 120.0
    kind: ClassVar[str] = "localstack"

    def __init__(self, name: str, state: dict[str, Any], process: subprocess.Popen[bytes] | None = None) -> None:
        super().__init__(name, state, process)
        self.endpoint_url = f"http://{core.HOST}:{state['edge']}"

    @classmethod
    def _more_state(cls) -> dict[str, Any]:
        python = core.python()
        if python is None:
            raise CloudError(f"LocalStack's core is not installed here. Install it: {core.INSTALL}")
        # LocalStack binds its port itself. Nobody else gets this one in the moment between, but by bad luck.
        with socket.socket() as free:
            free.bind((core.HOST, 0))
            return {"python": str(python), "edge": free.getsockname()[1]}

    def environment(self) -> dict[str, str]:
        """A complete environment for a subprocess that works on this cloud: endpoint, keys, region, guard."""
        return {
            **child_environment(),
            **ROOT_KEYS,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }

    def reachable(self, url: str) -> str:
        """An API's address as LocalStack makes it, turned into the one at which it answers here."""
        return reachable(self.endpoint_url, url)


def reachable(endpoint: str, url: str) -> str:
    """An API's address as AWS or LocalStack makes it, at this LocalStack's endpoint; others as they are.

    Source: "API Gateway", LocalStack's documentation: `/_aws/execute-api/<api>/<stage>/<path>`.
    """
    parts = urllib.parse.urlsplit(url)
    api, _, domain = (parts.hostname or "").partition(".")
    if not domain.startswith("execute-api."):
        return url
    query = f"?{parts.query}" if parts.query else ""
    return f"{endpoint}/_aws/execute-api/{api}{parts.path}{query}"
