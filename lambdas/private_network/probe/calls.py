"""The calls by which the network is proved, and what may become of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    SSLError,
)

KEY = "proof/letter.txt"
ROW = "letter"

# Nothing came back, and nothing was refused: there is no way to the service.
UNREACHABLE = "unreachable"
ALLOWED = "allowed"
REFUSED = "refused"
FAILED = "failed"

# Under which names services refuse.
REFUSALS = ("AccessDenied", "AccessDeniedException")

# No connection, or one that was closed before a word came back. A connection that stands and is slow is none of these.
NO_CONNECTION = (ConnectTimeoutError, EndpointConnectionError, ConnectionClosedError)


@dataclass(frozen=True)
class Call:
    """One request: boto3's names of service and operation, and its parameters."""

    service: str
    operation: str
    parameters: Mapping[str, Any]


def planned(letter: str, *, bucket: str, table: str, foreign_bucket: str = "") -> dict[str, Call]:
    """The calls by their ids, in the order in which they are made.

    `letter` is English text of at most 5,000 bytes in UTF-8, which is what DetectSentiment takes (its API reference).
    `foreign_bucket` is of another account; without one, nothing is read there.
    """
    calls = {
        "write-object": Call("s3", "put_object", {"Bucket": bucket, "Key": KEY, "Body": letter.encode()}),
        "read-object": Call("s3", "get_object", {"Bucket": bucket, "Key": KEY}),
        "read-foreign-object": Call("s3", "get_object", {"Bucket": foreign_bucket, "Key": KEY}),
        "write-row": Call("dynamodb", "put_item", {"TableName": table, "Item": {"id": {"S": ROW}}}),
        "scan-table": Call("dynamodb", "scan", {"TableName": table, "Limit": 1}),
        "detect-entities": Call("comprehend", "detect_entities", {"Text": letter, "LanguageCode": "en"}),
        "detect-sentiment": Call("comprehend", "detect_sentiment", {"Text": letter, "LanguageCode": "en"}),
        "translate": Call(
            "translate",
            "translate_text",
            {"Text": "Good morning", "SourceLanguageCode": "en", "TargetLanguageCode": "es"},
        ),
    }
    if not foreign_bucket:
        del calls["read-foreign-object"]
    return calls


def attempt(client: Any, call: Call) -> dict[str, str]:
    """What became of a call: `outcome`, and where it was not allowed AWS's `code` and `message`.

    `refused` is an answer that denies access, `failed` any other error, `unreachable` that there was no answer.
    """
    try:
        getattr(client, call.operation)(**call.parameters)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        outcome = REFUSED if code in REFUSALS else FAILED
        return {"outcome": outcome, "code": code, "message": error.response["Error"].get("Message", "")}
    except NO_CONNECTION as error:
        return {"outcome": UNREACHABLE, "code": type(error).__name__, "message": "There is no way to the service."}
    except (HTTPClientError, SSLError) as error:
        # Somebody is there: slow, or not who was expected.
        return {"outcome": FAILED, "code": type(error).__name__, "message": "The service did not answer as it should."}
    return {"outcome": ALLOWED, "code": "", "message": ""}
