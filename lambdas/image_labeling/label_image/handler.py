"""Entry point: wiring only."""

from __future__ import annotations

from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Fails every message back to the queue: not a canned success while the function is being built."""
    raise NotImplementedError
