"""Grants that no scenario uses, each acknowledged with its reason.

`python -m local permissions` compares what a deployed role may do with what its scenario did, and the tests fail on
a grant that nothing used. Some grants are right all the same: what is needed only after a failure, say. Such a grant is
named here, one action on one resource at a time. An entry that the scenario uses after all, or that is not granted any
more, fails the same tests, so that the table cannot rot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

MOST_PER_ROLE = 3


@dataclass(frozen=True)
class UnusedGrant:
    """One action that a role holds on one resource and that no scenario uses.

    `role` and `resource` are logical ids in the synthesized template, or the beginning of one (CDK appends eight
    characters of hash); `role` may be a service that a resource's own policy lets in. `resource` is empty where the
    action supports no resource and is granted on `*`.
    """

    architecture: str
    role: str
    action: str
    resource: str
    reason: str

    def __str__(self) -> str:
        return f"{self.architecture}: {self.role} {self.action} on {self.resource or '*'}"


UNUSED_GRANTS: tuple[UnusedGrant, ...] = (
    UnusedGrant(
        architecture="image-labeling",
        role="LabelImageRole",
        action="dynamodb:DeleteItem",
        resource="Idempotency",
        reason="Releases an image whose attempt failed, so that the next delivery may try at once.",
    ),
    UnusedGrant(
        architecture="image-labeling",
        role="events.amazonaws.com",
        action="sqs:SendMessage",
        resource="DeadLetters",
        reason="Takes the event when the queue cannot: its policy was changed, or its key is out of use.",
    ),
)


def faults(table: Sequence[UnusedGrant]) -> list[str]:
    """Say what is wrong with a table by itself: a wildcard, no role, no reason, an entry twice, too many a role."""
    found = []
    for entry in table:
        if any(sign in field for sign in "*?" for field in (entry.role, entry.action, entry.resource)):
            found.append(f"{entry}: acknowledged by wildcard; name one action and one resource")
        if not entry.role:
            found.append(f"{entry}: names no role")
        if not entry.reason.strip():
            found.append(f"{entry}: acknowledged without a reason")
    for key, times in Counter((e.architecture, e.role, e.action, e.resource) for e in table).items():
        if times > 1:
            found.append(f"{' '.join(key)}: acknowledged {times} times")
    for (architecture, role), times in Counter((e.architecture, e.role) for e in table).items():
        if times > MOST_PER_ROLE:
            found.append(f"{architecture}: {role} has {times} acknowledged grants, {MOST_PER_ROLE} are the most")
    return found
