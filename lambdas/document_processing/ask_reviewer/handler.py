"""Asks a person: keeps the review with the waiting state's token, and publishes a signed link to its page.

**Reviews table** (partition key `review`): `token`, `execution`, `document`, `images`, `opened_at`, `ends` by this
function, `answer` and `answered_at` by the review page. The state waits a while, is then reminded by its own timeout,
and comes here again with a new token: the review stays, the link stays, only the token is replaced. Where an answer
stands already, it is given to the new token at once. So an answer whose delivery was lost, or met a token that had just
run out, is delivered by the next round.

The message names no key and nothing of the document.
"""

from __future__ import annotations

import datetime
import json
import os
import time
from typing import Any

from aws_lambda_powertools.logging import Logger

from lambdas.document_processing import links, tokens
from lambdas.document_processing.places import document_id
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import told_by_name

REVIEWS_TABLE = os.environ["REVIEWS_TABLE"]
TOPIC = os.environ["REVIEW_TOPIC_ARN"]
BASE_URL = os.environ["REVIEW_BASE_URL"].rstrip("/")
DEADLINE_SECONDS = int(os.environ["REVIEW_DEADLINE_SECONDS"])

# So long after its end a late reviewer is still told what happened.
KEPT_SECONDS = 30 * 24 * 3600

logger = Logger()
clients = make_clients({"dynamodb": QUICK, "sns": QUICK, "secretsmanager": QUICK, "stepfunctions": QUICK})
keys = links.Keys(clients["secretsmanager"], os.environ["LINK_SECRET_ARN"])


@logger.inject_lambda_context(clear_state=True, log_event=False)
@told_by_name
def handler(event: dict[str, Any], context: Any) -> None:
    """Takes {bucket, key, version, document, execution, doubts, images, token}.

    The state waits for {"decision": "approve" | "reject", "review"}; a review that nobody answers in time ends it with
    the error ReviewExpired.
    """
    # One review a run: a document that is started again after a failure is asked about again.
    review = document_id("review", event["execution"], event["version"])
    row = _store(review, event)
    told = {"document": event["document"], "review": review}
    if "answer" in row:
        answer = json.loads(row["answer"]["S"])
        tokens.succeed(clients["stepfunctions"], event["token"], {"decision": answer["decision"], "review": review})
        logger.info("answered before", extra=told)
        return
    ends = int(row["ends"]["N"])
    if time.time() >= ends:
        tokens.fail(clients["stepfunctions"], event["token"], "ReviewExpired", "Nobody answered in time.")
        logger.warning("nobody answered", extra=told)
        return
    link = links.sign(review, ends, keys.newest())
    message = {
        "review": review,
        "document": event["document"],
        "doubtful_fields": event["doubts"],
        "url": f"{BASE_URL}/review/{link}",
        "open_until": datetime.datetime.fromtimestamp(ends, datetime.timezone.utc).isoformat(),
    }
    clients["sns"].publish(TopicArn=TOPIC, Subject="A document waits for review", Message=json.dumps(message))
    logger.info("asked", extra=told)


def _store(review: str, event: dict[str, Any]) -> dict[str, Any]:
    now = int(time.time())
    answer = clients["dynamodb"].update_item(
        TableName=REVIEWS_TABLE,
        Key={"review": {"S": review}},
        UpdateExpression=(
            "SET #token = :token, #execution = :execution, #document = :document, #images = :images,"
            " opened_at = if_not_exists(opened_at, :now), #ends = if_not_exists(#ends, :ends),"
            " expires = if_not_exists(expires, :expires)"
        ),
        ExpressionAttributeNames={f"#{name}": name for name in ("token", "execution", "document", "images", "ends")},
        ExpressionAttributeValues={
            ":token": {"S": event["token"]},
            ":execution": {"S": event["execution"]},
            ":document": {"S": event["document"]},
            ":images": {"S": json.dumps(event["images"])},
            ":now": {"N": str(now)},
            ":ends": {"N": str(now + DEADLINE_SECONDS)},
            ":expires": {"N": str(now + DEADLINE_SECONDS + KEPT_SECONDS)},
        },
        ReturnValues="ALL_NEW",
    )
    return dict(answer["Attributes"])
