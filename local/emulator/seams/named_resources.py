"""What actions of Transcribe, Translate and CloudWatch Logs are authorised on.

MiniStack authorises them on `*`, so a grant on one vocabulary, job or terminology is refused. Here the resource is what
AWS takes it for (Service Authorization Reference, "Actions, resources, and condition keys for Amazon Transcribe" and
"... for Amazon Translate", column "Resource types", read 2026-11-25). Of several terminologies in one request only the
first is authorised. What is not in the table stays on `*`.

MiniStack authorises actions on logs on a group's ARN without an ending, so the ARN that policies are to name, with `:*`
at its end, is refused (Amazon CloudWatch Logs User Guide, "CloudWatch Logs resources and operations"). Here the
resource is the stream (Service Authorization Reference: CreateLogStream and PutLogEvents), or the group with an empty
one.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ministack.core.iam_actions as _iam_actions

# (service, operation): type of the resource in its ARN, member of the request that names it.
RESOURCES: dict[tuple[str, str], tuple[str, str]] = {
    ("transcribe", "DeleteTranscriptionJob"): ("transcription-job", "TranscriptionJobName"),
    ("transcribe", "GetTranscriptionJob"): ("transcription-job", "TranscriptionJobName"),
    ("transcribe", "DeleteVocabulary"): ("vocabulary", "VocabularyName"),
    ("transcribe", "GetVocabulary"): ("vocabulary", "VocabularyName"),
    ("transcribe", "UpdateVocabulary"): ("vocabulary", "VocabularyName"),
    ("transcribe", "DeleteVocabularyFilter"): ("vocabulary-filter", "VocabularyFilterName"),
    ("transcribe", "GetVocabularyFilter"): ("vocabulary-filter", "VocabularyFilterName"),
    ("transcribe", "UpdateVocabularyFilter"): ("vocabulary-filter", "VocabularyFilterName"),
    ("translate", "DeleteTerminology"): ("terminology", "Name"),
    ("translate", "GetTerminology"): ("terminology", "Name"),
    ("translate", "ImportTerminology"): ("terminology", "Name"),
    ("translate", "StartTextTranslationJob"): ("terminology", "TerminologyNames"),
    ("translate", "TranslateText"): ("terminology", "TerminologyNames"),
}


@dataclass(frozen=True)
class Asked:
    """A request whose resource is looked for; `operation` is that of `x-amz-target`, "" where there is none."""

    service: str
    operation: str
    path: str
    body: bytes
    query: dict[str, list[str]]
    region: str
    account: str


Finder = Callable[[Asked], "str | None"]
_finders: list[Finder] = []


def authorise_on(finder: Finder) -> None:
    """Authorise requests on the ARN that `finder` gives. Without one, earlier finders are asked, then MiniStack."""
    _finders.append(finder)


def install() -> None:
    """Let grants on a resource count."""
    extract = _iam_actions.extract_resource_arn

    @functools.wraps(extract)
    def extracting(  # noqa: PLR0917 (MiniStack's own signature)
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: dict[str, list[str]],
        region: str,
        account: str,
    ) -> str:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        asked = Asked(service, operation, path, body, query, region, account)
        for finder in (*reversed(_finders), _named):
            if found := finder(asked):
                return found
        arn: str = extract(service, method, path, headers, body, query, region, account)
        return arn

    _iam_actions.extract_resource_arn = extracting


def _named(asked: Asked) -> str | None:
    if asked.service == "logs" and (group := member_of(asked.body, "logGroupName")):
        stream = member_of(asked.body, "logStreamName")
        return f"arn:aws:logs:{asked.region}:{asked.account}:log-group:{group}:log-stream:{stream}"
    if name := _name(asked.service, asked.operation, asked.body):
        kind = RESOURCES[asked.service, asked.operation][0]
        return f"arn:aws:{asked.service}:{asked.region}:{asked.account}:{kind}/{name}"
    return None


def _name(service: str, operation: str, body: bytes) -> str:
    """The name in a request of the table; nothing for other requests, and for one that names no resource."""
    return member_of(body, RESOURCES[service, operation][1]) if (service, operation) in RESOURCES else ""


def request_of(body: bytes) -> dict[str, Any]:
    """A request in JSON; an empty one where it is no object."""
    try:
        request: Any = json.loads(body)
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}


def member_of(body: bytes, member: str) -> str:
    """A member of a request, of a list its first; nothing where it is no text."""
    named = request_of(body).get(member)
    if isinstance(named, list):
        named = named[0] if named else ""
    return named if isinstance(named, str) else ""
