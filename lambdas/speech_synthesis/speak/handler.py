"""Entry point of the function: takes a batch of messages and has each uploaded text spoken once.

A message is done when its version has a result, or a task that speaks it. Otherwise the message alone goes back to the
queue and its reason is kept; after the queue's last attempt it is a dead letter.

The log names no key, for file names are often personal, and nothing of a text. An upload is known there by its version
id, a failure by its code and request id; the table has the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import ClientError

from lambdas.speech_synthesis.speak.aws import make_clients
from lambdas.speech_synthesis.speak.results import SPEAKING, SPOKEN, InProgressError, Results, Row, iso_now
from lambdas.speech_synthesis.speak.texts import RefusedError, Script, check_size, script
from lambdas.speech_synthesis.speak.uploads import UnreadableMessageError, Upload, upload

INPUT_PREFIX = os.environ["INPUT_PREFIX"]
OUTPUT_PREFIX = os.environ["OUTPUT_PREFIX"]
END_TOPIC = os.environ["END_TOPIC"]
VOICE = {"VoiceId": os.environ["VOICE"], "Engine": os.environ["ENGINE"], "OutputFormat": os.environ["OUTPUT_FORMAT"]}
ENDING = {"mp3": "mp3", "ogg_vorbis": "ogg"}[VOICE["OutputFormat"]]

# What Polly says of the text itself; another attempt would get the same answer.
REFUSED_BY_POLLY = {
    "InvalidSsmlException": "InvalidSsml",
    "TextLengthExceededException": "TextTooLong",
    "LanguageNotSupportedException": "LanguageNotSupported",
}
# The version was deleted since. 405 is what S3 says of a delete marker.
GONE = ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed")

logger = Logger()
clients = make_clients()
results = Results(clients["dynamodb"], os.environ["RESULTS_TABLE"], os.environ["TASKS_TABLE"])


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes an SQS event; returns the messages to deliver again: {"batchItemFailures": [{"itemIdentifier": id}]}."""
    failed = [record["messageId"] for record in event["Records"] if not _handle(record, context)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _handle(record: dict[str, Any], context: Any) -> bool:
    """Whether the message is done."""
    attempt: Row = {
        "message_id": record["messageId"],
        "receive_count": int(record["attributes"]["ApproximateReceiveCount"]),
    }
    try:
        announced = upload(record["body"])
    except UnreadableMessageError as error:
        logger.warning("unreadable message", extra=attempt)
        _keep_reason(results.note_unreadable, str(error), {**attempt, "request_id": ""})
        return False
    if announced is None:
        return True
    told = {"version_id": announced.version, **attempt}
    try:
        status = _speak_once(announced, context.get_remaining_time_in_millis() / 1000)
    except InProgressError:
        logger.info("in progress elsewhere", extra=told)
        return False
    except Exception as error:  # noqa: BLE001 (whatever it is, this message fails, the others of the batch do not)
        code, request_id = _code(error), _request_id(error)
        logger.warning("not spoken", extra={**told, "code": code, "request_id": request_id})
        reason = {"code": code, "message": _message(error)}
        _keep_reason(results.note_failure, announced, reason, {**attempt, "request_id": request_id})
        return False
    logger.info("done", extra={**told, "status": status})
    return True


def _keep_reason(write: Callable[..., None], *arguments: Any) -> None:
    try:
        write(*arguments)
    except Exception as error:  # noqa: BLE001 (the message is delivered again all the same)
        logger.warning("reason not kept", extra={"code": _code(error), "request_id": _request_id(error)})


def _speak_once(announced: Upload, seconds: float) -> str:
    """The status that the version has now. Raises what Polly, S3 or DynamoDB raise, and InProgressError."""
    known = results.claim(announced, seconds)
    if known is not None:
        if known["status"] == SPEAKING:
            # The worker that started the task may have been stopped before it said so in the tasks table.
            _link(announced, known["task_id"])
        return str(known["status"])
    try:
        return _speak(announced, _read(announced))
    except RefusedError as refusal:
        results.reject(announced, refusal.code, refusal.message, refusal.line)
        return "REJECTED"


def _read(announced: Upload) -> Script:
    kind = announced.kind
    if kind is None or not announced.key.startswith(INPUT_PREFIX):
        raise RefusedError("OutsidePrefix", "The object is no .txt or .ssml file under the input prefix.")
    try:
        found = clients["s3"].get_object(Bucket=announced.bucket, Key=announced.key, VersionId=announced.version)
    except ClientError as error:
        if _code(error) in GONE:
            raise RefusedError("ObjectGone", "The version was deleted before it could be spoken.") from error
        raise
    with found["Body"] as body:
        check_size(found["ContentLength"])
        return script(body.read(), kind)


def _speak(announced: Upload, found: Script) -> str:
    output = announced.output(OUTPUT_PREFIX)
    request = {"Text": found.text, "TextType": found.kind, **VOICE}
    row: Row = {
        "voice": VOICE["VoiceId"],
        "engine": VOICE["Engine"],
        "output_format": VOICE["OutputFormat"],
        "text_type": found.kind,
    }
    try:
        if found.is_short:
            answer = clients["polly"].synthesize_speech(**request)
            with answer["AudioStream"] as stream:
                sound = stream.read()
        else:
            answer = clients["polly"].start_speech_synthesis_task(
                **request, OutputS3BucketName=announced.bucket, OutputS3KeyPrefix=output, SnsTopicArn=END_TOPIC
            )
    except ClientError as error:
        if refused := REFUSED_BY_POLLY.get(_code(error)):
            raise RefusedError(refused, _message(error)) from error
        raise
    if found.is_short:
        key = f"{output}.{ENDING}"
        clients["s3"].put_object(Bucket=announced.bucket, Key=key, Body=sound, ContentType=answer["ContentType"])
        row |= {"characters": int(answer["RequestCharacters"]), "output_key": key, "size": len(sound)}
        results.finish(announced, {**row, "status": SPOKEN, "ended_at": iso_now()})
        return SPOKEN
    task = answer["SynthesisTask"]
    row |= {"characters": int(task["RequestCharacters"]), "task_id": task["TaskId"]}
    row["output_key"] = f"{output}.{task['TaskId']}.{ENDING}"
    results.finish(announced, {**row, "status": SPEAKING, "started_at": iso_now()})
    _link(announced, task["TaskId"])
    return SPEAKING


def _link(announced: Upload, task_id: str) -> None:
    """Say which version the task speaks, and record its end if the notification was first."""
    task = results.link(task_id, announced)
    if "ended" in task:
        results.end(announced, task_id, task["ended"])


def _code(error: BaseException) -> str:
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)


def _message(error: BaseException) -> str:
    """The AWS message of an error, else its text; at most 1,000 characters, for it is stored."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Message") or error)[:1000]


def _request_id(error: BaseException) -> str:
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("ResponseMetadata", {}).get("RequestId") or "")
