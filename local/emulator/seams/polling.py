"""How many messages Lambda's poller takes from a queue at once.

MiniStack takes ten at most, as a single ReceiveMessage does. Lambda gathers up to 10,000 for a standard queue (AWS
Lambda Developer Guide, "Creating and configuring an Amazon SQS event source mapping", read 2026-11-25). Here it gathers
those that are there, without waiting: a batching window is not kept.
"""

from __future__ import annotations

from typing import Any

import ministack.services.sqs as _sqs


def install() -> None:
    """Let a batch be as large as its mapping says."""
    receive = _sqs._receive_messages_for_esm

    def gather(queue_url: str, max_number: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = receive(queue_url, max_number)
        while 0 < len(found) < max_number and (more := receive(queue_url, max_number - len(found))):
            found += more
        return found

    _sqs._receive_messages_for_esm = gather
