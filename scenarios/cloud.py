"""What a scenario needs of a cloud, and nothing more: a name to show, a region, and AWS clients."""

from __future__ import annotations

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
