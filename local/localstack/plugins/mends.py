"""What is mended in LocalStack's process itself, once, before its first request.

* JSONata in state machines is evaluated by `jsonata-python`: LocalStack's own way needs a Java machine and fetches
  both. Step Functions' own `$hash` and `$uuid` are there, which LocalStack lacks. The strings that variables hold are
  quoted, where LocalStack writes them between quotation marks as they are.
* It listens on the address that it was told, where LocalStack takes every one of the machine's.
* It asks its own S3 by the machine's address, where LocalStack has a name looked up on the Internet.
* A stack whose creation failed keeps its template, where GetTemplate fails.
* CloudFormation looks every quarter of a second whether a resource is there, where it sleeps for five.
* S3's events on the bus name an object as its user did and in an order, where LocalStack encodes the key and gives each
  the same sequencer. Source: "EventBridge event message structure", Amazon S3 User Guide, read 2026-11-28.
* A rule's wildcard stands for any characters, none and line ends included, where LocalStack wants one and no line end.
  Source: "Comparison operators for use in event patterns", Amazon EventBridge User Guide, read 2026-11-28.
* State machines find Application Auto Scaling, which has a dash in LocalStack's name of it and none in a state's.
* Templates mean `amazonaws.com` by AWS::URLSuffix, where LocalStack names its own host: images have it in their names.
* A rule that is switched off delivers nothing, where LocalStack does not look.
* A function logs into the group that it names, where LocalStack uses `/aws/lambda/...` for all.
* Two addresses are added to its gateway: where custom resources answer, and what the project asks about.
"""

import functools
import hashlib
import itertools
import json
import re
import time
import urllib.parse
import uuid
from collections.abc import Mapping
from typing import Any

import jsonata
from jsonata.utils import Utils
from localstack import config
from localstack.aws.api.events import RuleState
from localstack.runtime import hooks
from localstack.services.cloudformation.engine.v2 import change_set_model_preproc
from localstack.services.cloudformation.resource_provider import ResourceProviderExecutor
from localstack.services.cloudformation.v2.entities import ChangeSet
from localstack.services.edge import ROUTER
from localstack.services.events.event_rule_engine import EventRuleEngine
from localstack.services.events.provider import EventsProvider
from localstack.services.lambda_.invocation.execution_environment import ExecutionEnvironment
from localstack.services.s3.notifications import EventBridgeNotifier
from localstack.services.stepfunctions.asl.component.intrinsic import jsonata as intrinsic
from localstack.services.stepfunctions.asl.component.state.state_execution.state_task.service import (
    state_task_service,
    state_task_service_aws_sdk,
)
from localstack.services.stepfunctions.asl.eval import states, variable_store
from localstack.services.stepfunctions.asl.jsonata import jsonata as asl
from localstack.utils.aws import aws_stack
from localstack.utils.urls import localstack_host
from twisted.internet import endpoints
from werkzeug import Request, Response

from local.localstack.plugins import MOUNTED
from local.localstack.plugins.executor import busy
from local.localstack.plugins.resources import ANSWERS, take_answer

STATE = "/_mounted"


@hooks.on_infra_start()
def mend() -> None:
    """Put everything in place."""
    asl._eval_jsonata = evaluate
    here = config.GATEWAY_LISTEN[0].host
    endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface=here)
    for name in ("hash", "uuid"):
        del intrinsic._DECLARATION_BY_VARIABLE_REFERENCE[f"${name}"]
    # Both have taken the function under their own name.
    for module in (states, variable_store):
        if not callable(module.encode_jsonata_variable_declarations):
            raise TypeError(module)
        module.encode_jsonata_variable_declarations = declared
    # What the look-up would have found, which is kept.
    if aws_stack.CACHE_S3_HOSTNAME_DNS_STATUS is not None:
        raise TypeError(aws_stack)
    aws_stack.CACHE_S3_HOSTNAME_DNS_STATUS = False
    _keep_template_of_failed_stack()
    _look_often()
    _tell_events_as_s3_does()
    if not callable(EventRuleEngine._evaluate_wildcard):
        raise TypeError(EventRuleEngine)
    EventRuleEngine._evaluate_wildcard = staticmethod(fits)
    _heed_switched_off_rules()
    _find_application_auto_scaling()
    if localstack_host().host != change_set_model_preproc._AWS_URL_SUFFIX:
        raise TypeError(change_set_model_preproc)
    change_set_model_preproc._AWS_URL_SUFFIX = "amazonaws.com"
    _log_where_the_function_says()
    ROUTER.add(ANSWERS, take_answer, methods=["PUT"])
    ROUTER.add(STATE, _state, methods=["GET"])


def _keep_template_of_failed_stack() -> None:
    original = ChangeSet.__init__

    def made(self: ChangeSet, stack: Any, *arguments: Any, **named: Any) -> None:
        original(self, stack, *arguments, **named)
        stack.template_body = stack.template_body or self.template_body

    ChangeSet.__init__ = made


LOOK_SECONDS = 0.25


def _look_often() -> None:
    original = ResourceProviderExecutor.deploy_loop
    ResourceProviderExecutor.deploy_loop = functools.partialmethod(original, sleep_time=LOOK_SECONDS)


_sequence = itertools.count(time.time_ns())


def _tell_events_as_s3_does() -> None:
    original = EventBridgeNotifier._get_event_payload

    def payload(*arguments: Any, **named: Any) -> Any:
        entry = original(*arguments, **named)
        detail = json.loads(entry["Detail"])
        described = detail["object"]
        described["key"] = urllib.parse.unquote(described["key"])
        if "sequencer" in described:
            described["sequencer"] = f"{next(_sequence):016X}"
        return {**entry, "Detail": json.dumps(detail)}

    EventBridgeNotifier._get_event_payload = staticmethod(payload)


def fits(wildcard: str, value: str) -> bool:
    """Whether a value is what a rule's wildcard describes; a backslash takes the meaning of the sign behind it."""
    parts = re.findall(r"\\.|\*|[^\\*]+", wildcard, re.DOTALL)
    pattern = "".join(".*" if one == "*" else re.escape(one.removeprefix("\\")) for one in parts)
    return isinstance(value, str) and re.fullmatch(pattern, value, re.DOTALL) is not None


def _heed_switched_off_rules() -> None:
    original = EventsProvider._process_rules

    def process(self: EventsProvider, rule: Any, *arguments: Any, **named: Any) -> Any:
        return None if rule.state == RuleState.DISABLED else original(self, rule, *arguments, **named)

    EventsProvider._process_rules = process


def _find_application_auto_scaling() -> None:
    named = "applicationautoscaling"
    state_task_service.StateTaskService._SERVICE_NAME_SFN_TO_BOTO_OVERRIDES[named] = "application-autoscaling"
    state_task_service_aws_sdk._SERVICE_ERROR_NAMES[named] = "ApplicationAutoScaling"


def _log_where_the_function_says() -> None:
    original = ExecutionEnvironment.get_log_group_name

    def group(self: ExecutionEnvironment) -> str:
        chosen = (self.function_version.config.logging_config or {}).get("LogGroup")
        return str(chosen or original(self))

    ExecutionEnvironment.get_log_group_name = group


def _state(_request: Request) -> Response:
    content = {"invocations": busy(), "services": list(MOUNTED)}
    return Response(json.dumps(content), 200, content_type="application/json")


# AWS gives an expression one second ("Transforming data with JSONata in Step Functions", AWS Step Functions Developer
# Guide, read 2026-11-28: States.QueryEvaluationError). Two busy cores take longer for the same.
_EXPRESSION_MILLISECONDS = 10_000


def evaluate(expression: str) -> Any:
    """What a JSONata expression comes to, in JSON's types; None for null, and for nothing. Raises JSONataException."""
    try:
        parsed = jsonata.Jsonata.jsonata(expression, timeout=_EXPRESSION_MILLISECONDS)
        parsed.register_lambda("hash", hashed)
        parsed.register_lambda("uuid", lambda: str(uuid.uuid4()))
        found = parsed.evaluate(None)
        return json.loads(json.dumps(_plain(found), default=str))
    except Exception as error:
        raise asl.JSONataException(str(getattr(error, "error", "") or "UNKNOWN"), str(error)) from error


# Step Functions' algorithms, by the names that it gives them (the same page).
ALGORITHMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


def hashed(value: Any, algorithm: str) -> str:
    """A value's hash in hexadecimal digits; what is no text is written as JSON. Raises ValueError for the algorithm."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"$hash knows {', '.join(ALGORITHMS)}, not {algorithm!r}")
    text = value if isinstance(value, str) else json.dumps(_plain(value), separators=(",", ":"))
    return hashlib.new(ALGORITHMS[algorithm], text.encode(), usedforsecurity=False).hexdigest()


def _plain(value: Any) -> Any:
    if value is Utils.NULL_VALUE:
        return None
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def declared(bindings: Mapping[str, Any]) -> str:
    """Variables with their values as the beginning of an expression: each value is written as JSON."""
    return "".join(f"{name}:={json.dumps(value, default=str)};" for name, value in bindings.items())
