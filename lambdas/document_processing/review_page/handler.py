"""The review page: shows what is doubtful, takes one answer, and lets the waiting state go on.

    GET  /review/{link}                the page; JSON where that is asked for
    GET  /review/{link}/pages/{page}   the picture of a page
    POST /review/{link}                the answer: of the page's form, or JSON

Looking changes nothing: mail scanners follow links. The answer is written under the condition that there is none yet,
so of two reviewers one wins and the other is told. Only then is the state answered; if that fails, or the function dies
between the two, the answer stands and the next round of `ask_reviewer` delivers it.

Answers: 200, 400 for what is no answer, 403 for a link that was not signed here, 404, 409 for a review that somebody
else answered, 410 for a link that is used up or too old and for a document that nobody waits for any longer.

The log names reviews, never links: whoever has a link may answer.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import ClientError

from lambdas.document_processing import links, places, tokens
from lambdas.document_processing.review_page import answers, page
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import error_code

BUCKET = os.environ["BUCKET"]
REVIEWS_TABLE = os.environ["REVIEWS_TABLE"]

logger = Logger()
clients = make_clients({"dynamodb": QUICK, "s3": (10, 3), "secretsmanager": QUICK, "stepfunctions": QUICK})
keys = links.Keys(clients["secretsmanager"], os.environ["LINK_SECRET_ARN"])

Answer = dict[str, Any]

# Nothing from elsewhere, nothing inline but what carries this answer's nonce; not framed, not indexed, not kept.
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}


class _Visit:
    """One request: what it wants and how it is answered."""

    def __init__(self, event: dict[str, Any]) -> None:
        self.method = event["httpMethod"]
        parameters = event.get("pathParameters") or {}
        self.link = str(parameters.get("link", ""))
        self.page = str(parameters.get("page", ""))
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        self.content_type = headers.get("content-type", "").lower()
        self.wants_json = "application/json" in headers.get("accept", "")
        self.nonce = secrets.token_urlsafe(16)
        body = event.get("body") or ""
        self.body = base64.b64decode(body).decode("utf-8", "replace") if event.get("isBase64Encoded") else body

    def say(self, status: int, code: str, title: str, text: str, tone: str = "bad") -> Answer:
        """One clear page, or JSON {"code", "message"}."""
        if self.wants_json:
            return self.json(status, {"code": code, "message": text})
        return self.html(status, page.notice(title, text, self.nonce, tone=tone))

    def html(self, status: int, body: str) -> Answer:
        policy = (
            f"default-src 'none'; script-src 'nonce-{self.nonce}'; style-src 'nonce-{self.nonce}'; img-src 'self';"
            " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        headers = {**_HEADERS, "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
        return {"statusCode": status, "headers": headers, "body": body}

    def json(self, status: int, body: Any) -> Answer:
        headers = {**_HEADERS, "Content-Type": "application/json", "Content-Security-Policy": "default-src 'none'"}
        return {"statusCode": status, "headers": headers, "body": json.dumps(body)}


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Takes a request of API Gateway (proxy integration), returns its answer."""
    visit = _Visit(event)
    try:
        review = links.verify(visit.link, keys.of, time.time())
        return _serve(visit, review)
    except links.ExpiredLinkError:
        return visit.say(410, "Expired", "This link is too old", "The time for this review is over.")
    except links.BadLinkError:
        logger.warning("bad link")
        text = "It is not as it was sent. Open it from the message again, without changing it."
        return visit.say(403, "BadLink", "This link is not valid", text)
    except ClientError as error:
        request = error.response.get("ResponseMetadata", {}).get("RequestId", "")
        # Without its text and trace, which may name an object.
        logger.warning("a service failed", extra={"reason": error_code(error), "failed_request": request})
        text = "Please try again in a moment. Nothing was lost."
        return visit.say(503, "Unavailable", "This did not work", text)


def _serve(visit: _Visit, review: str) -> Answer:  # noqa: PLR0911 (one a case)
    row = (
        clients["dynamodb"]
        .get_item(TableName=REVIEWS_TABLE, Key={"review": {"S": review}}, ConsistentRead=True)
        .get("Item")
    )
    if not row:
        return visit.say(404, "Unknown", "There is no such review", "It has been deleted.")
    if "answer" in row:
        if visit.method == "POST":
            return _second(visit, review, row)
        return visit.say(410, "Used", "This review has been answered", "There is nothing left to do.", tone="")
    if visit.page:
        return _picture(visit, row)
    doubts = _json(places.doubts(row["document"]["S"]))["fields"]
    if visit.method == "POST":
        return _take(visit, review, doubts)
    logger.info("shown", extra={"review": review})
    if visit.wants_json:
        return visit.json(200, {"review": review, "fields": doubts})
    return visit.html(200, page.review_page(visit.link, visit.nonce, doubts, json.loads(row["images"]["S"])))


def _picture(visit: _Visit, row: dict[str, Any]) -> Answer:
    numbers = [str(image["page"]) for image in json.loads(row["images"]["S"])]
    if visit.page not in numbers:
        return visit.say(404, "Unknown", "There is no such page", "The review has no such page.")
    key = places.page_image(row["document"]["S"], int(visit.page))
    with clients["s3"].get_object(Bucket=BUCKET, Key=key)["Body"] as body:
        data = body.read()
    headers = {**_HEADERS, "Content-Type": "image/jpeg"}
    return {"statusCode": 200, "headers": headers, "body": base64.b64encode(data).decode(), "isBase64Encoded": True}


def _take(visit: _Visit, review: str, doubts: list[dict[str, Any]]) -> Answer:
    try:
        answer = answers.parse(visit.body, visit.content_type, doubts)
    except answers.BadAnswerError as error:
        return visit.say(400, "BadAnswer", "This is no answer", str(error))
    try:
        row = clients["dynamodb"].update_item(
            TableName=REVIEWS_TABLE,
            Key={"review": {"S": review}},
            UpdateExpression="SET answer = :answer, answered_at = :now",
            ConditionExpression="attribute_exists(review) AND attribute_not_exists(answer)",
            ExpressionAttributeValues={
                ":answer": {"S": json.dumps(answer)},
                ":now": {"N": str(int(time.time()))},
            },
            ReturnValues="ALL_NEW",
        )["Attributes"]
    except ClientError as error:
        if error_code(error) != "ConditionalCheckFailedException":
            raise
        return _beaten(visit, review)
    return _deliver(visit, review, row)


def _second(visit: _Visit, review: str, row: dict[str, Any]) -> Answer:
    """An answer to what has one. The very same once more, after an error on the way, is no second reviewer."""
    doubts = _json(places.doubts(row["document"]["S"]))["fields"]
    try:
        same = answers.parse(visit.body, visit.content_type, doubts) == json.loads(row["answer"]["S"])
    except answers.BadAnswerError:
        same = False
    return _deliver(visit, review, row) if same else _beaten(visit, review)


def _beaten(visit: _Visit, review: str) -> Answer:
    logger.info("answered by another", extra={"review": review})
    text = "Somebody else has answered this review. Your answer was not taken."
    return visit.say(409, "AnsweredByAnother", "You were not the first", text)


def _deliver(visit: _Visit, review: str, row: dict[str, Any]) -> Answer:
    decision = json.loads(row["answer"]["S"])["decision"]
    output = {"decision": decision, "review": review}
    waited = tokens.succeed(clients["stepfunctions"], row["token"]["S"], output)
    logger.info("answered", extra={"review": review, "decision": decision, "waited": waited})
    if not waited and not _runs(row["execution"]["S"]):
        text = "The processing of this document has ended meanwhile. Your answer was kept, and changes nothing."
        return visit.say(410, "TooLate", "This answer came too late", text)
    if decision == "reject":
        return visit.say(200, "Rejected", "The document is rejected", "Thank you. You may close this page.", "good")
    return visit.say(200, "Approved", "Thank you", "The document goes on. You may close this page.", "good")


def _runs(execution: str) -> bool:
    """Whether the execution still runs: then its next round takes the answer up."""
    try:
        answer = clients["stepfunctions"].describe_execution(executionArn=execution, includedData="METADATA_ONLY")
    except ClientError as error:
        if error_code(error) == "ExecutionDoesNotExist":
            return False
        raise
    return bool(answer["status"] == "RUNNING")


def _json(key: str) -> Any:
    with clients["s3"].get_object(Bucket=BUCKET, Key=key)["Body"] as body:
        return json.loads(body.read())
