"""What a scenario needs of a cloud, and nothing more: a name to show, a region, and AWS clients."""

from __future__ import annotations

import urllib.parse
from typing import Any, Protocol


class Cloud(Protocol):
    """A place where a stack is deployed. A scenario drives it through AWS's own APIs, so it cannot tell which it is."""

    @property
    def name(self) -> str:
        """How the cloud is called in messages."""
        ...

    @property
    def region(self) -> str:
        """The AWS region that the stacks are in, for example `us-east-1`."""
        ...

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client of this service, by boto3's name (`s3`, `dynamodb`)."""
        ...

    @property
    def ca_bundle(self) -> Any:
        """The certificate authorities to trust for this cloud's addresses, as a path; None for the machine's own."""
        ...

    def reachable(self, url: str) -> str:
        """An address of a stack's API as it is reached from here: the same, where AWS's addresses resolve."""
        ...


def behind(endpoint_url: str, url: str) -> str:
    """An API's address as AWS makes it, turned into the one behind an emulator's endpoint; others as they are."""
    parts = urllib.parse.urlsplit(url)
    api, _, domain = (parts.hostname or "").partition(".")
    if not domain.startswith("execute-api."):
        return url
    stage, _, path = parts.path.lstrip("/").partition("/")
    query = f"?{parts.query}" if parts.query else ""
    return f"{endpoint_url}/restapis/{api}/{stage}/_user_request_/{path}{query}"
