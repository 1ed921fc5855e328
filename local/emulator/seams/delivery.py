"""Deliveries to functions and state machines: who sends must be let in, and what cannot be delivered is not lost.

S3, SNS, EventBridge and API Gateway invoke a function by the function's own policy; EventBridge starts an execution
with the role of its target. MiniStack asks nobody.

Sources: AWS Lambda Developer Guide, "Using resource-based policies for AWS Lambda"; Amazon EventBridge User Guide, "How
EventBridge retries delivering events" and "Using dead-letter queues to process undelivered events in EventBridge"; read
2026-11-26. The guide does not say how long a pause may grow, nor list the codes of errors.
"""

import contextvars
import functools
import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError
from ministack.core import responses as _responses
from ministack.services import apigateway as _http_apis
from ministack.services import apigateway_v1 as _rest_apis
from ministack.services import eventbridge as _events
from ministack.services import lambda_svc as _lambda
from ministack.services import s3 as _s3
from ministack.services import sns as _sns
from ministack.services import stepfunctions as _sfn

from local.emulator import authorise, clock, metrics
from local.emulator.seams import inside, states

_log = logging.getLogger(__name__)

# A target's retry policy when it names none ("How EventBridge retries delivering events").
_RETRIES = 185
_RETRY_SECONDS = 86_400
_LONGEST_PAUSE_SECONDS = 60.0

# Takes an undelivered event: problem (code, message), payload, rule ARN, target, more attributes.
Undelivered = Callable[[tuple[str, str], str, str, dict[str, Any], Mapping[str, str]], None]


def install(
    current: Callable[[], tuple[dict[str, Any], dict[str, Any]]],
    undelivered: Undelivered,
    may_seal: Callable[[str, str], bool],
) -> None:
    """Put the hooks in place.

    `current` tells the rule and the target that are being served in this context, `may_seal` whether a role may use the
    key of a queue for what it sends there.
    """
    _authorise_rules(current, undelivered)
    _authorise_topics()
    _authorise_buckets()
    _authorise_apis()
    _authorise_failed_invocations(may_seal)


def _may_invoke(service: str, function: str, source: str) -> bool:
    context = {"aws:SourceArn": source, "aws:SourceAccount": _responses.get_account_id()}
    return authorise.act_as(service, "lambda:InvokeFunction", function, context, path="service-to-function")


# --- EventBridge -----------------------------------------------------------------------------------------------------


def _authorise_rules(current: Callable[[], tuple[dict[str, Any], dict[str, Any]]], undelivered: Undelivered) -> None:
    def to_function(arn: str, payload: str) -> None:
        rule, target = current()
        function, config, _ = _lambda._get_func_record_for_ref(arn)
        if not function or not config:
            problem = "NO_RESOURCE", f"The function {arn} does not exist."
        elif not _may_invoke("events.amazonaws.com", arn, rule["Arn"]):
            problem = "NO_PERMISSIONS", f"The policy of {arn} does not let {rule['Arn']} invoke it."
        else:
            _lambda.invoke_async_with_retry(_lambda._execution_record_for_config(function, config), _decoded(payload))
            return
        undelivered(problem, payload, rule["Arn"], target, {})

    def to_state_machine(arn: str, payload: str) -> None:
        rule, target = current()
        # Each delivery takes its time, and EventBridge does not wait for it.
        attempt = functools.partial(_start_execution, arn, payload, rule["Arn"], target)
        run = functools.partial(deliver, attempt, payload, rule["Arn"], target, undelivered)
        threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()

    _events._dispatch_to_lambda = to_function
    _events._dispatch_to_stepfunctions = to_state_machine


def _decoded(payload: str) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return {"body": payload}


# Why a delivery failed (code and message; None when it did not), and whether to try again.
Outcome = tuple[tuple[str, str] | None, bool]


def deliver(
    attempt: Callable[[], Outcome], payload: str, source_arn: str, target: dict[str, Any], undelivered: Undelivered
) -> None:
    """Try to deliver again and again while that is worth it, by the target's retry policy; else hand it on."""
    policy = target.get("RetryPolicy") or {}
    retries = int(policy.get("MaximumRetryAttempts", _RETRIES))
    until = clock.now() + float(policy.get("MaximumEventAgeInSeconds", _RETRY_SECONDS))
    attempts = 0
    while True:
        problem, worth_a_retry = attempt()
        if problem is None:
            return
        pause = min(2.0**attempts, _LONGEST_PAUSE_SECONDS)
        exhausted = ""
        if worth_a_retry:
            exhausted = (
                "MaximumRetryAttempts"
                if attempts >= retries
                else "MaximumEventAgeInSeconds"
                if clock.now() + pause > until
                else ""
            )
        if not worth_a_retry or exhausted:
            more = {"RETRY_ATTEMPTS": str(attempts), "EXHAUSTED_RETRY_CONDITION": exhausted} if exhausted else {}
            undelivered(problem, payload, source_arn, target, more)
            return
        states.sleep(pause)
        attempts += 1


def as_role(
    role: str, source_arn: str, request: Callable[[Callable[[str], Any]], Any], service: str = "events.amazonaws.com"
) -> Outcome:
    """Make a request with the role of a target, which the service must be let into.

    `request` gets a function that gives a client of a service (botocore's name) with the role's credentials.
    """
    account, region = _responses.get_account_id(), _responses.get_region()
    context = {"aws:SourceArn": source_arn, "aws:SourceAccount": account}
    if not role or not authorise.act_as(service, "sts:AssumeRole", role, context, path="service-role"):
        return ("NO_PERMISSIONS", f"{service} cannot assume the role {role or '(none)'} of the target."), False
    access_key = inside.role_session(role, service.partition(".")[0])
    try:
        request(lambda name: inside.client(name, access_key, account, region))
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        if code.startswith("AccessDenied"):
            return ("NO_PERMISSIONS", str(error)), False
        if code in _MISSING:
            return ("NO_RESOURCE", str(error)), False
        if "Thrott" in code or "LimitExceeded" in code or status == 429:
            return ("THROTTLING", str(error)), True
        return ("SDK_CLIENT_ERROR", str(error)), status >= 500
    return None, False


_MISSING = ("ResourceNotFound", "ResourceNotFoundException", "NotFound")


def _start_execution(arn: str, payload: str, rule_arn: str, target: dict[str, Any]) -> Outcome:
    if _sfn._resolve_state_machine_arn(arn) is None:
        return ("NO_RESOURCE", f"The state machine {arn} does not exist."), False
    return as_role(
        str(target.get("RoleArn", "")),
        rule_arn,
        lambda client: client("stepfunctions").start_execution(stateMachineArn=arn, input=payload),
    )


# --- SNS and S3 ------------------------------------------------------------------------------------------------------


def _authorise_topics() -> None:
    deliver = _sns._deliver_to_lambda

    @functools.wraps(deliver)
    def delivering(endpoint: str, envelope: str, topic_arn: str, sub_arn: str, *rest: Any) -> None:
        function, config, _ = _lambda._get_func_record_for_ref(endpoint)
        if not function or not config:
            _log.warning("A message of %s is lost: there is no %s", topic_arn, endpoint)
            metrics.topic(topic_arn, "NumberOfNotificationsFailed")
            return
        if not _may_invoke("sns.amazonaws.com", endpoint, topic_arn):
            _log.warning("A message of %s is lost: %s does not let it in", topic_arn, endpoint)
            metrics.topic(topic_arn, "NumberOfNotificationsFailed")
            return
        metrics.topic(topic_arn, "NumberOfNotificationsDelivered")
        record = {
            "EventVersion": "1.0",
            "EventSubscriptionArn": sub_arn,
            "EventSource": "aws:sns",
            "Sns": json.loads(envelope),
        }
        # SNS invokes asynchronously, so a failure is tried again and goes to the function's dead-letter queue.
        _lambda.invoke_async_with_retry(_lambda._execution_record_for_config(function, config), {"Records": [record]})

    _sns._deliver_to_lambda = delivering


def _authorise_buckets() -> None:
    deliver = _s3._deliver_event_to_lambda

    @functools.wraps(deliver)
    def delivering(arn: str, event: dict[str, Any], region: str) -> None:
        bucket = event["Records"][0]["s3"]["bucket"]["arn"]
        if _may_invoke("s3.amazonaws.com", arn, bucket):
            deliver(arn, event, region)
        else:
            _log.warning("An event of %s is lost: %s does not let it in", bucket, arn)

    _s3._deliver_event_to_lambda = delivering


# --- API Gateway -----------------------------------------------------------------------------------------------------


def _authorise_apis() -> None:
    """A function that does not let its API in: the caller gets 500, as on AWS."""

    def checking(
        invoke: Callable[..., Any], uri: str, source_of: Callable[..., str], refusal: Callable[[], Any]
    ) -> Callable[..., Any]:
        module = _rest_apis if uri == "uri" else _http_apis

        @functools.wraps(invoke)
        async def invoking(integration: dict[str, Any], api: str, stage: str, *rest: Any, **keywords: Any) -> Any:
            function = module._extract_lambda_ref_from_integration_uri(integration.get(uri, ""))
            role = integration.get("credentials") or integration.get("credentialsArn")
            if function.startswith("arn:") and not _api_may_invoke(
                function, role, _execute_api(api, f"{stage}/{source_of(*rest)}")
            ):
                return refusal()
            return await invoke(integration, api, stage, *rest, **keywords)

        return invoking

    def rest_source(_stage: Any, resource: dict[str, Any], _path: str, method: str, *_rest: Any) -> str:
        return f"{method}{resource['path']}"

    def http_source(_path: str, method: str, _headers: Any, _body: Any, _query: Any, route: str, *_rest: Any) -> str:
        return f"{method}{route.partition(' ')[2]}" if " " in route else route

    for name in ("_invoke_lambda_proxy_v1", "_invoke_lambda_custom_v1"):
        checked = checking(getattr(_rest_apis, name), "uri", rest_source, _misconfigured)
        setattr(_rest_apis, name, checked)
    _http_apis._invoke_lambda_proxy = checking(
        _http_apis._invoke_lambda_proxy,
        "integrationUri",
        http_source,
        lambda: (500, {"Content-Type": "application/json"}, b'{"message":"Internal Server Error"}'),
    )


def _misconfigured() -> Any:
    return _rest_apis._gw_error("API_CONFIGURATION_ERROR", "Internal server error")


def _api_may_invoke(function: str, role: str | None, source: str) -> bool:
    """By the function's policy, or by the role that the integration names."""
    if not role:
        return _may_invoke("apigateway.amazonaws.com", function, source)
    context = {"aws:SourceArn": source, "aws:SourceAccount": _responses.get_account_id()}
    return authorise.act_as(
        "apigateway.amazonaws.com", "sts:AssumeRole", role, context, path="service-role"
    ) and authorise.act_as(role, "lambda:InvokeFunction", function, path="service-to-function")


def _execute_api(api: str, rest: str) -> str:
    return f"arn:aws:execute-api:{_responses.get_region()}:{_responses.get_account_id()}:{api}/{rest}"


# --- Failed asynchronous invocations ---------------------------------------------------------------------------------


def _authorise_failed_invocations(may_seal: Callable[[str, str], bool]) -> None:
    route = _lambda._route_async_failure

    @functools.wraps(route)
    def routing(target: str, name: str, event: dict[str, Any], result: dict[str, Any]) -> None:
        role = str((_lambda._functions.get(name) or {}).get("config", {}).get("Role", ""))
        action = {"sqs": "sqs:SendMessage", "sns": "sns:Publish"}.get(target.split(":")[2])
        allowed = action is None or authorise.act_as(role, action, target, path="failed-invocation")
        if allowed and (action != "sqs:SendMessage" or may_seal(role, target)):
            route(target, name, event, result)
        else:
            _log.warning("A failed invocation of %s is lost: its role may not tell %s", name, target)

    _lambda._route_async_failure = routing
