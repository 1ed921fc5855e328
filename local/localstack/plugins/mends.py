"""What is mended in LocalStack's process itself, once, before its first request.

* JSONata in state machines is evaluated by `jsonata-python`: LocalStack's own way needs a Java machine and fetches
  both. The strings that variables hold are quoted, where LocalStack writes them between quotation marks as they are.
* It listens on the address that it was told, where LocalStack takes every one of the machine's.
* Two addresses are added to its gateway: where custom resources answer, and what the project asks about.
"""

import functools
import json
from collections.abc import Mapping
from typing import Any

import jsonata
from twisted.internet import endpoints
from jsonata.utils import Utils
from localstack import config
from localstack.runtime import hooks
from localstack.services.edge import ROUTER
from localstack.services.stepfunctions.asl.eval import states, variable_store
from localstack.services.stepfunctions.asl.jsonata import jsonata as asl
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
    # Both have taken the function under their own name.
    for module in (states, variable_store):
        if not callable(module.encode_jsonata_variable_declarations):
            raise TypeError(module)
        module.encode_jsonata_variable_declarations = declared
    ROUTER.add(ANSWERS, take_answer, methods=["PUT"])
    ROUTER.add(STATE, _state, methods=["GET"])


def _state(_request: Request) -> Response:
    content = {"invocations": busy(), "services": list(MOUNTED)}
    return Response(json.dumps(content), 200, content_type="application/json")


# AWS gives an expression one second ("Transforming data with JSONata in Step Functions", AWS Step Functions Developer
# Guide, read 2026-11-28: States.QueryEvaluationError). Two busy cores take longer for the same.
_EXPRESSION_MILLISECONDS = 10_000


def evaluate(expression: str) -> Any:
    """What a JSONata expression comes to, in JSON's types; None for null, and for nothing. Raises JSONataException."""
    try:
        found = jsonata.Jsonata.jsonata(expression, timeout=_EXPRESSION_MILLISECONDS).evaluate(None)
        return json.loads(json.dumps(_plain(found), default=str))
    except Exception as error:
        raise asl.JSONataException(str(getattr(error, "error", "") or "UNKNOWN"), str(error)) from error


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
