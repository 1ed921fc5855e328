"""Makes and deletes what CloudFormation has no type for: vocabularies and vocabulary filters of Transcribe, a
terminology of Translate.

None of them is ever changed. Their names end with a digest of what is in them, so other settings make other ones beside
the old, the state machine moves on to their names, and CloudFormation, once the update has succeeded, has the old ones
deleted: by the old physical id and with the old properties. A failed update rolls back to resources that are still
there.

Properties: `Name` (what all names begin with), `Languages` (codes of Transcribe), `Hotels` and `Words` (lists, may be
empty), `Bucket` and `Prefix` (where the tables of the vocabularies are written), `Translated` (codes of Translate).
"""

from __future__ import annotations

import csv
import io
import json
import logging
import time
import unicodedata
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

logger = logging.getLogger()
logger.setLevel(logging.INFO)

# Left for the answer to CloudFormation: without one the stack hangs until the custom resource's own time-out.
SECONDS_TO_ANSWER = 30.0
SECONDS_BETWEEN_LOOKS = 2.0

ABSENT = ("NotFoundException", "ResourceNotFoundException")


class ResourceError(Exception):
    """A resource was refused or did not become ready."""


def handler(event: dict[str, Any], context: Any) -> None:
    """Answers every request by a PUT to its `ResponseURL`, a failed one too, with the reason.

    Request and answer: AWS CloudFormation User Guide, "Custom resource request types" and "Custom resource response
    objects", read 2026-11-25.
    """
    properties = event["ResourceProperties"]
    answer = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"PhysicalResourceId": properties["Name"], "Status": "SUCCESS"}
    try:
        clients = {name: _client(name) for name in ("transcribe", "translate", "s3")}
        if event["RequestType"] == "Delete":
            # After a creation without an answer CloudFormation made the id up itself: it wants it back.
            answer["PhysicalResourceId"] = event["PhysicalResourceId"]
            delete(clients, properties)
        elif event.get("PhysicalResourceId") != properties["Name"]:
            create(clients, properties, context)
    except Exception as error:  # whatever happened, CloudFormation must hear of it
        logger.exception("The language resources are not as they should be")
        answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"[:500]}
    request = urllib.request.Request(  # noqa: S310 (the address comes from CloudFormation)
        event["ResponseURL"], data=json.dumps(answer).encode(), method="PUT", headers={"content-type": ""}
    )
    with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310 (the same)
        logger.info("CloudFormation took the answer with status %s", response.status)


def _client(service: str) -> Any:
    return boto3.client(  # type: ignore[call-overload]  # (any of three services)
        service,
        config=Config(connect_timeout=2, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4}),
    )


def create(clients: Mapping[str, Any], properties: Mapping[str, Any], context: Any) -> None:
    """Makes all resources and waits until the vocabularies can be used. Raises ResourceError or ClientError."""
    transcribe = clients["transcribe"]
    hotels, words = properties["Hotels"], properties["Words"]
    for language in properties["Languages"]:
        name = f"{properties['Name']}-{language}"
        if hotels:
            key = f"{properties['Prefix']}{name}.txt"
            clients["s3"].put_object(Bucket=properties["Bucket"], Key=key, Body=vocabulary(hotels).encode())
            _once(
                lambda: transcribe.create_vocabulary(
                    VocabularyName=name,  # noqa: B023 (called at once)
                    LanguageCode=language,  # noqa: B023
                    VocabularyFileUri=f"s3://{properties['Bucket']}/{key}",  # noqa: B023
                )
            )
        if words:
            _once(
                lambda: transcribe.create_vocabulary_filter(
                    VocabularyFilterName=name,  # noqa: B023
                    LanguageCode=language,  # noqa: B023
                    Words=words,
                )
            )
    if hotels:
        clients["translate"].import_terminology(
            Name=properties["Name"],
            MergeStrategy="OVERWRITE",
            Description="Names that stay as they are",
            TerminologyData={
                "File": terminology(hotels, properties["Translated"]).encode(),
                "Format": "CSV",
                # Each language may be the source: a guest may speak any of them.
                "Directionality": "MULTI",
            },
        )
        for language in properties["Languages"]:
            _wait_until_ready(transcribe, f"{properties['Name']}-{language}", context)


def delete(clients: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Deletes all resources; one that is gone already counts as deleted. Raises ClientError."""
    transcribe = clients["transcribe"]
    for language in properties["Languages"]:
        name = f"{properties['Name']}-{language}"
        if properties["Hotels"]:
            _if_there(lambda: transcribe.delete_vocabulary(VocabularyName=name))  # noqa: B023
        if properties["Words"]:
            _if_there(lambda: transcribe.delete_vocabulary_filter(VocabularyFilterName=name))  # noqa: B023
    if properties["Hotels"]:
        _if_there(lambda: clients["translate"].delete_terminology(Name=properties["Name"]))


def vocabulary(hotels: list[str]) -> str:
    """The table of a custom vocabulary: how a name is spoken, and how it is to be written.

    Columns, and hyphens between the words of a phrase: Amazon Transcribe Developer Guide, "Creating a custom vocabulary
    using a table", read 2026-11-25 (`SoundsLike` and `IPA` are not used any more and stay empty). Phrases keep to
    letters that the character sets of most languages have: accents fall away, `&` is spoken as `and`.
    """
    rows = ["\t".join(("Phrase", "SoundsLike", "IPA", "DisplayAs"))]
    rows += ["\t".join((_spoken(name), "", "", name)) for name in hotels]
    return "\n".join(rows) + "\n"


def _spoken(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.replace("&", " and "))
    kept = "".join(
        letter if letter.isascii() and (letter.isalpha() or letter == "'") else " "
        for letter in plain
        if not unicodedata.combining(letter)
    )
    return "-".join(kept.split())


def terminology(hotels: list[str], languages: list[str]) -> str:
    """A custom terminology in which every name is the same in every language.

    Amazon Translate Developer Guide, "Creating a custom terminology", read 2026-11-25: CSV, a column a language.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(languages)
    writer.writerows([name] * len(languages) for name in hotels)
    return out.getvalue()


def _once(make: Callable[[], Any]) -> None:
    """CloudFormation may ask twice; the name holds a digest of the content, so what is there already is the same."""
    try:
        make()
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConflictException":
            raise


def _if_there(remove: Callable[[], Any]) -> None:
    try:
        remove()
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        # Transcribe says BadRequestException of a vocabulary that is not there (Amazon Transcribe API Reference,
        # "DeleteVocabulary": it lists NotFoundException too).
        if code in ABSENT or (code == "BadRequestException" and "couldn't be found" in message):
            return
        raise


def _wait_until_ready(transcribe: Any, name: str, context: Any) -> None:
    """Transcribe takes a few minutes for a vocabulary; a job that names it before fails."""
    while True:
        found = transcribe.get_vocabulary(VocabularyName=name)
        if found["VocabularyState"] == "READY":
            return
        if found["VocabularyState"] == "FAILED":
            raise ResourceError(f"Transcribe refuses the vocabulary {name}: {found.get('FailureReason', 'no reason')}")
        if context.get_remaining_time_in_millis() / 1000 < SECONDS_TO_ANSWER:
            raise ResourceError(f"The vocabulary {name} is not ready yet: deploy once more to go on")
        time.sleep(SECONDS_BETWEEN_LOOKS)
