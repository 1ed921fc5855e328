"""Amazon SageMaker Runtime: InvokeEndpoint.

A request goes to a variant by weight, or to the one that it names, and to one of its instances. It is asked elsewhere
only where the connection failed before any part of an answer came. What a model refuses is a ModelError with the
model's own status. Multi-model endpoints, inference components, sessions, explanations, asynchronous and streamed
invocations are refused.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference: members, headers, errors, 60 s,
6 MB; a larger limit that newer pages are said to name could not be confirmed). The wording of ModelError and of the
error for an endpoint that does not take requests are those that users of the service report.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from local.emulator import clock, metrics
from local.services.sagemaker.capture import Exchange, Payload
from local.services.sagemaker.endpoints import Endpoint, Endpoints
from local.services.sagemaker.fleets import Fleet, NoInstanceError, Route
from local.services.sagemaker.hosting import Answer, Instance, NoAnswerError, TooLateError
from local.services.wire import Caller, Response, ServiceError

INVOKE = "InvokeEndpoint"
MOST_BYTES = 6_291_456
_LONGEST_MESSAGE = 1024

_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_PREFIX = "x-amzn-sagemaker-"
_UNSERVED = {
    "enable-explanations": "EnableExplanations",
    "inference-component": "InferenceComponentName",
    "prefix-aware-id": "PrefixAwareId",
    "session-id": "SessionId",
    "target-container-hostname": "TargetContainerHostname",
    "target-model": "TargetModel",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Model(Exception):  # noqa: N818 (named after the service's ModelError, which it becomes)
    """The model answered with an error, or not at all (status 0)."""

    status: int
    message: str
    fleet: Fleet
    instance: Instance


class Runtime:
    """The data plane. It is no `RestService`: the body is the model's, and all else of a request is in headers."""

    name: ClassVar[str] = "sagemaker-runtime"
    iam_namespace: ClassVar[str] = "sagemaker"

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def handle(
        self,
        operation: str,
        endpoint: str,
        headers: Mapping[str, str],
        body: bytes,
        caller: Caller,
        *,
        late: float = 0.0,
    ) -> Response:
        """Answer one request; `headers` have names in small letters. Never raises.

        `late` are the seconds by which the answer will be late, which are the service's own.
        """
        began, request_id = time.perf_counter() - late, str(uuid.uuid4())
        try:
            return self._invoke(operation, endpoint, headers, body, caller, began, request_id)
        except ServiceError as error:
            return _error(error.status, error.code, {"Message": error.message}, request_id)
        except _Model as error:
            return _model_error(error, caller, endpoint, request_id)
        except Exception:  # noqa: BLE001 (a bug here must not take the emulator down; it is logged with its trace)
            _log.exception("%s of %s failed (request %s)", operation, endpoint, request_id)
            message = "The local cloud failed; its log says why."
            return _error(500, "InternalFailure", {"Message": message}, request_id)

    def _invoke(  # noqa: PLR0917 (the parts of a request)
        self,
        operation: str,
        name: str,
        headers: Mapping[str, str],
        body: bytes,
        caller: Caller,
        began: float,
        request_id: str,
    ) -> Response:
        if operation != INVOKE:
            raise ServiceError(
                "NotImplemented", f"This local cloud does not serve sagemaker-runtime:{operation}, only {INVOKE}.", 501
            )
        for header, member in _UNSERVED.items():
            if _PREFIX + header in headers:
                raise ServiceError("NotImplemented", f"This local cloud does not serve {member}.", 501)
        if len(body) > MOST_BYTES:
            raise _invalid(f"The body has {len(body)} bytes; {MOST_BYTES} are the most.")
        endpoint = self._endpoints.in_service(caller, name)
        if endpoint is None:
            raise _invalid(f"Endpoint {name} of account {caller.account} not found.")
        answer, route, model = self._ask(endpoint, headers, body, began)
        self._publish(endpoint, route, answer.status, model, began)
        self._capture(route.fleet, headers, body, answer)
        return 200, _answer_headers(route.fleet, answer, request_id), answer.body

    def _ask(
        self, endpoint: Endpoint, headers: Mapping[str, str], body: bytes, began: float
    ) -> tuple[Answer, Route, float]:
        """The model's answer, who gave it and how long it took. Raises _Model, ServiceError."""
        variant = headers.get(f"{_PREFIX}target-variant")
        given = {"Content-Type": "content-type", "Accept": "accept", "X-Amzn-SageMaker-Custom-Attributes": _ATTRIBUTES}
        passed = {name: headers[header] for name, header in given.items() if header in headers}
        tried: list[Instance] = []
        while True:
            try:
                with endpoint.traffic.taken(variant, tried) as (route, instance):
                    started = time.perf_counter()
                    try:
                        answer = instance.ask(body, passed)
                    except NoAnswerError:
                        tried.append(instance)
                        if not instance.running:
                            self._endpoints.lost(endpoint, route.fleet, instance)
                        continue
                    except TooLateError:
                        model = time.perf_counter() - started
                        self._publish(endpoint, route, 0, model, began)
                        raise _Model(0, _TOO_LATE, route.fleet, instance) from None
                    model = time.perf_counter() - started
            except NoInstanceError as error:
                raise self._unavailable(endpoint, variant, str(error), began) from error
            if not 200 <= answer.status < 300:
                self._publish(endpoint, route, answer.status, model, began)
                raise _Model(answer.status, answer.body.decode(errors="replace"), route.fleet, instance)
            return answer, route, model

    def _unavailable(self, endpoint: Endpoint, variant: str | None, why: str, began: float) -> ServiceError:
        names = [fleet.variant for fleet in endpoint.fleets]
        if variant is not None and variant not in names:
            return _invalid(f"Variant {variant} of the endpoint {endpoint.name} not found.")
        fleet = next((fleet for fleet in endpoint.fleets if variant in (None, fleet.variant)), None)
        if fleet is not None:
            self._publish(endpoint, Route(fleet, (), 0.0), 503, None, began)
        return ServiceError("ServiceUnavailable", why, 503)

    @staticmethod
    def _publish(endpoint: Endpoint, route: Route, status: int, model: float | None, began: float) -> None:
        fleet = route.fleet
        endpoint.asked[fleet.variant] = clock.now()
        metrics.endpoint_invoked(
            metrics.EndpointInvocation(
                account=endpoint.caller.account,
                region=endpoint.caller.region,
                endpoint=endpoint.name,
                variant=fleet.variant,
                config=fleet.config,
                instances=len(fleet.instances),
                status=status,
                model=model,
                overhead=time.perf_counter() - began - (model or 0.0),
            )
        )

    @staticmethod
    def _capture(fleet: Fleet, headers: Mapping[str, str], body: bytes, answer: Answer) -> None:
        if fleet.capture is None:
            return
        fleet.capture.offer(
            fleet.variant,
            Exchange(
                request=Payload(body, headers.get("content-type", "")),
                response=Payload(answer.body, answer.header("content-type") or ""),
                inference_id=headers.get(f"{_PREFIX}inference-id"),
                custom_attributes=headers.get(_ATTRIBUTES),
            ),
        )


_TOO_LATE = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for each"
    " container in Amazon CloudWatch, resolve the issue, and try again."
)


def _answer_headers(fleet: Fleet, answer: Answer, request_id: str) -> dict[str, str]:
    headers = {
        "Content-Type": answer.header("content-type") or "application/octet-stream",
        "x-Amzn-Invoked-Production-Variant": fleet.variant,
        "x-amzn-RequestId": request_id,
    }
    attributes = answer.header(_ATTRIBUTES)
    return headers if attributes is None else {**headers, "X-Amzn-SageMaker-Custom-Attributes": attributes}


def _model_error(error: _Model, caller: Caller, endpoint: str, request_id: str) -> Response:
    side = "client" if 400 <= error.status < 500 else "server"
    group, region = f"/aws/sagemaker/Endpoints/{endpoint}", caller.region
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group}"
    message = (
        f'Received {side} error ({error.status}) from primary with message "{error.message[:_LONGEST_MESSAGE]}". See'
        f" {console} in account {caller.account} for more information."
    )
    stream = f"{error.fleet.variant}/{error.instance.identity}"
    arn = f"arn:aws:logs:{region}:{caller.account}:log-group:{group}:log-stream:{stream}"
    members = {
        "Message": message,
        "OriginalStatusCode": error.status,
        "OriginalMessage": error.message[:_LONGEST_MESSAGE],
        "LogStreamArn": arn,
    }
    return _error(424, "ModelError", members, request_id)


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


def _error(status: int, code: str, members: Mapping[str, object], request_id: str) -> Response:
    headers = {"Content-Type": "application/json", "x-amzn-RequestId": request_id, "x-amzn-ErrorType": code}
    return status, headers, json.dumps({"__type": code, **members}).encode()
