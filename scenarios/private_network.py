"""Sends letters through a private network and past it, and tells what was let through and what was not.

Only AWS APIs, so it works the same on every cloud: it invokes the two functions of the stack, one in the network and
one outside, and compares what each could do with what it should have been able to.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scenarios.cloud import Cloud

Outcome = Literal["allowed", "refused", "unreachable", "failed"]
Where = Literal["inside", "outside"]

SUFFIXES = (".txt",)
# Amazon Comprehend Developer Guide, "Guidelines and quotas": DetectSentiment takes 5 KB.
LARGEST_LETTER_BYTES = 5_000


@dataclass(frozen=True)
class Planned:
    """A call of the proof: its IAM action, in words what it does, and what should become of it on either side.

    `outside` is None for a call that is made inside only. `on` is part of the ARN of what it is about, empty where the
    service knows no resources.
    """

    action: str
    on: str
    title: str
    inside: Outcome
    outside: Outcome | None
    why: str


@dataclass(frozen=True)
class Called:
    """What became of one call. `code` and `message` are AWS's, empty where it was allowed."""

    letter: str
    call: str
    planned: Planned
    where: Where
    outcome: Outcome
    code: str = ""
    message: str = ""

    @property
    def expected(self) -> Outcome | None:
        """What should have become of it."""
        return self.planned.inside if self.where == "inside" else self.planned.outside

    @property
    def as_expected(self) -> bool:
        """Whether it came out as it should."""
        return self.outcome == self.expected


@dataclass(frozen=True)
class Report:
    """All calls, letter by letter, inside before outside, and how long they took, in seconds."""

    calls: tuple[Called, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every call came out as it should."""
        return bool(self.calls) and all(call.as_expected for call in self.calls)


def is_letter(name: str) -> bool:
    """Whether a file of this name is taken for a letter."""
    return name.lower().endswith(SUFFIXES)


def plan(outputs: Mapping[str, str]) -> dict[str, Planned]:
    """What should become of each call, by its id, in a stack with these outputs."""
    doors = outputs["Endpoints"].split(",")

    def through(door: str, outcome: Outcome) -> Outcome:
        return outcome if door in doors else "unreachable"

    bucket, table, foreign = (outputs[f"{name}Name"] for name in ("Bucket", "Table", "ForeignBucket"))
    planned = {
        "write-object": Planned(
            "s3:PutObject",
            bucket,
            "keep the letter in the bucket",
            "allowed",
            "refused",
            "the bucket knows one endpoint only",
        ),
        "read-object": Planned(
            "s3:GetObject", bucket, "read it from there", "allowed", "refused", "the bucket knows one endpoint only"
        ),
        "read-foreign-object": Planned(
            "s3:GetObject",
            foreign,
            "read another account's bucket",
            "refused",
            None,
            "the endpoint leads to this account's",
        ),
        "write-row": Planned(
            "dynamodb:PutItem", table, "keep a row in the table", "allowed", "allowed", "asked of the role"
        ),
        "scan-table": Planned(
            "dynamodb:Scan", table, "read the whole table", "refused", "allowed", "the endpoint lets no scan through"
        ),
        "detect-entities": Planned(
            "comprehend:DetectEntities",
            "",
            "find who and what it names",
            through("comprehend", "allowed"),
            "allowed",
            "what the endpoint is for",
        ),
        "detect-sentiment": Planned(
            "comprehend:DetectSentiment",
            "",
            "find its mood",
            through("comprehend", "refused"),
            "allowed",
            "the endpoint lets DetectEntities through, and nothing else",
        ),
        "translate": Planned(
            "translate:TranslateText",
            "",
            "translate a greeting",
            through("translate", "allowed"),
            "allowed",
            "there is no endpoint for it",
        ),
    }
    if foreign == "none":
        del planned["read-foreign-object"]
    return planned


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    letters: Sequence[Path],
    progress: Callable[[str], None] = lambda message: None,
) -> Report:
    """Has each letter go all ways, inside first: what is read outside was written inside.

    `outputs` are the stack's. Raises OSError for a file that cannot be read, UnicodeDecodeError for one that is no
    UTF-8, ValueError for one of more than 5,000 bytes, RuntimeError where a function breaks off, and botocore's errors
    where the cloud refuses.
    """
    begin = time.monotonic()
    found: list[Called] = []
    for letter in letters:
        text = letter.read_text(encoding="utf-8")
        if len(text.encode()) > LARGEST_LETTER_BYTES:
            raise ValueError(f"{letter.name} is longer than {LARGEST_LETTER_BYTES:,} bytes")
        for where in ("inside", "outside"):
            found += prove(cloud, outputs, where, text, name=letter.name)
            progress(f"{len(found)} calls made")
    return Report(tuple(found), time.monotonic() - begin)


def prove(
    cloud: Cloud,
    outputs: Mapping[str, str],
    where: Where,
    text: str,
    *,
    name: str = "",
    calls: Sequence[str] = (),
) -> list[Called]:
    """Has the function on this side make these calls, or all that are made there; returns what became of each.

    Raises RuntimeError where the function breaks off.
    """
    planned = plan(outputs)
    of_this_side = [call for call, one in planned.items() if where == "inside" or one.outside]
    request = {"letter": text, "calls": list(calls) or of_this_side}
    function = outputs["InsideFunctionName" if where == "inside" else "OutsideFunctionName"]
    answer = cloud.client("lambda").invoke(FunctionName=function, Payload=json.dumps(request).encode())
    body = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise RuntimeError(f"The function {where} the network broke off: {body.get('errorMessage', 'no reason')}")
    return [
        Called(name, call, planned[call], where, one["outcome"], one["code"], one["message"])
        for call, one in body.items()
    ]
