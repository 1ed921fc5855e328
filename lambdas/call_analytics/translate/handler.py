"""Translates the turns of a call to the house language: a small call at once, a large one by a job.

Three steps, each of which the state machine asks for by name:

- `at-once`: a call of the service a turn, or a few for a very long one;
- `prepare`: a file a turn, for a job to read, so that what comes back needs no guessing which turn it belongs to;
- `collect`: the job's files, put together again.

The state machine itself starts the job between the last two and waits for its end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import ClientError

from lambdas.call_analytics import places, texts
from lambdas.shared.clients import PATIENT, make_clients
from lambdas.shared.failures import error_code, named, told_by_name

BUCKET = os.environ["BUCKET"]
HOUSE_LANGUAGE = os.environ["HOUSE_LANGUAGE"]
TERMINOLOGIES = [name for name in os.environ["TERMINOLOGY"].split(",") if name]

# Of UTF-8 a call (Amazon Translate Developer Guide, "Guidelines and quotas", read 2026-11-25).
MAXIMUM_BYTES = 10_000

# Files at once. A call of four hours may have two thousand turns.
AT_ONCE = 16

In = TypeVar("In")
Out = TypeVar("Out")

logger = Logger()
clients = make_clients({"s3": PATIENT, "translate": PATIENT})


@told_by_name
@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, str], context: Any) -> dict[str, str]:
    """Takes {"step", "call", "language"}, for `collect` {"step", "call", "output": the job's s3:// folder}.

    `prepare` returns {"input": "s3://...", "output": "s3://..."} for the job, the others nothing.
    """
    steps: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
        "at-once": _at_once,
        "prepare": _prepare,
        "collect": _collect,
    }
    answer = steps[event["step"]](event)
    logger.info("translated" if event["step"] != "prepare" else "prepared", extra={"call": event["call"]})
    return answer


def _at_once(event: dict[str, str]) -> dict[str, str]:
    source = event["language"]
    _keep(event["call"], [_translated(turn["text"], source) for turn in _turns(event["call"])])
    return {}


def _translated(text: str, source: str) -> str:
    """Piece by piece, each with the space after it, which a service may drop."""
    answer = ""
    for piece in texts.pieces(text, MAXIMUM_BYTES):
        core = piece.rstrip()
        if core:
            answer += clients["translate"].translate_text(
                Text=core,
                SourceLanguageCode=source,
                TargetLanguageCode=HOUSE_LANGUAGE,
                TerminologyNames=TERMINOLOGIES,
            )["TranslatedText"]
        answer += piece[len(core) :]
    return answer


def _prepare(event: dict[str, str]) -> dict[str, str]:
    call = event["call"]

    def write(numbered: tuple[int, str]) -> None:
        number, text = numbered
        key = places.translate_in(call) + _name(number)
        clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=text.encode(), ContentType="text/plain")

    _all(write, list(enumerate(turn["text"] for turn in _turns(call))))
    return {
        "input": f"s3://{BUCKET}/{places.translate_in(call)}",
        "output": f"s3://{BUCKET}/{places.translate_out(call)}",
    }


def _collect(event: dict[str, str]) -> dict[str, str]:
    bucket, _, folder = event["output"].removeprefix("s3://").partition("/")
    folder = folder.rstrip("/")

    def read(number: int) -> str:
        # A translated document is named after its language and its source (Amazon Translate Developer Guide,
        # "Getting the results of a batch translation job", read 2026-11-25).
        key = f"{folder}/{HOUSE_LANGUAGE}.{_name(number)}"
        try:
            with clients["s3"].get_object(Bucket=bucket, Key=key)["Body"] as body:
                return str(body.read().decode())
        except ClientError as error:
            # Without the right to list, S3 says of a missing key that access is denied.
            if error_code(error) in ("NoSuchKey", "AccessDenied"):
                raise named("TranslationIncomplete", "The job left no translation of a turn.") from None
            raise

    _keep(event["call"], _all(read, list(range(len(_turns(event["call"]))))))
    return {}


def _turns(call: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = places.read_json(clients["s3"], BUCKET, places.work(call, places.TURNS))["turns"]
    return found


def _keep(call: str, translations: Sequence[str]) -> None:
    places.write_json(
        clients["s3"], BUCKET, places.work(call, places.TRANSLATED), {"texts": [text.strip() for text in translations]}
    )


def _name(number: int) -> str:
    return f"{number:06d}.txt"


def _all(work: Callable[[In], Out], items: Sequence[In]) -> list[Out]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, items))
