"""How LocalStack's process asks the one that holds the project's services."""

import threading
from collections.abc import Mapping
from typing import Any

import requests

from local.localstack import plugins

# Longer than any operation takes; whoever called gave up before. An endpoint of a stack may take its time.
_PATIENCE_SECONDS = 1000.0
_kept = threading.local()


def ask(
    place: str,
    *,
    params: Mapping[str, str] | None = None,
    data: bytes | str,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """What is answered (`requests.Response`) at this place."""
    url, certificate, token = plugins.services()
    session = getattr(_kept, "session", None)
    if session is None:
        session = _kept.session = requests.Session()
        # The user's proxies and certificates are none of this.
        session.trust_env = False
        session.verify = certificate
        # What a caller did not say (`Accept`) is not said for it.
        session.headers.clear()
    return session.post(
        f"{url}/_local/{place}",
        params=params,
        data=data,
        headers={**(headers or {}), "x-local-token": token},
        timeout=_PATIENCE_SECONDS,
    )
