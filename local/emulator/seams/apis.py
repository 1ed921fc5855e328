"""REST APIs: their metrics, their access logs, and what a template says and MiniStack leaves out.

Access logs are written with the CloudWatch role of the account's API Gateway settings; a stage with an access log but
without such a role is refused, as on AWS. Not served: execution logs, and context variables that stand for what is not
here (they are `-`, as on AWS where a variable has no value). HTTP APIs have neither metrics nor access logs.

Sources: Amazon API Gateway Developer Guide, "Set up CloudWatch API logging in API Gateway", "API Gateway mapping
template and access logging variable reference"; AWS CloudFormation Template Reference, "AWS::ApiGateway::Stage"; read
2026-11-26, in the guides' public sources, which end in 2023. Not found there: the words of the refusal, the `-`, and
that of the seven actions of AWS's policy for the role a line of an access log takes these two.
"""

import functools
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from ministack.core import responses as _responses
from ministack.services import apigateway_v1 as _rest_apis
from ministack.services import cloudwatch_logs as _logs

from local.emulator import authorise, clock, metrics

_VARIABLE = re.compile(r"\$context\.([\w.]+)")
_NO_ROLE = "CloudWatch Logs role ARN must be set in account settings to enable logging"


def install() -> None:
    """Put the hooks in place."""
    execute = _rest_apis.handle_execute

    @functools.wraps(execute)
    async def executing(  # noqa: PLR0917 (MiniStack's own signature)
        api: str, stage: str, method: str, path: str, headers: dict[str, str], body: bytes, query: Any
    ) -> Any:
        began = time.monotonic()
        answer = await execute(api, stage, method, path, headers, body, query)
        scope = _rest_apis.find_api_scope(api)
        if scope is not None:
            with _responses.request_scope(*scope):
                _tell(api, stage, method, path, headers, answer, (time.monotonic() - began) * 1000)
        return answer

    _rest_apis.handle_execute = executing


def _tell(  # noqa: PLR0917 (what a line of an access log is made of)
    api: str, stage: str, method: str, path: str, headers: Mapping[str, str], answer: Any, milliseconds: float
) -> None:
    account, region = _responses.get_account_id(), _responses.get_region()
    name = str((_rest_apis._rest_apis.get(api) or {}).get("name", api))
    status, answered, body = answer
    metrics.api_request(account, region, name, stage, int(status), milliseconds)
    settings = (_rest_apis._stages_v1.get(api, {}).get(stage) or {}).get("accessLogSettings") or {}
    if not settings.get("destinationArn"):
        return
    resource, _ = _rest_apis._match_resource_tree(api, [part for part in path.strip("/").split("/") if part])
    now = clock.now()
    values = {
        "accountId": account,
        "apiId": api,
        "domainName": headers.get("host", "-"),
        "extendedRequestId": str(uuid.uuid4()),
        "httpMethod": method,
        "identity.sourceIp": _responses.get_request_client_ip(),
        "identity.userAgent": headers.get("user-agent", "-"),
        "path": f"/{stage}{path}",
        "protocol": "HTTP/1.1",
        "requestId": str(answered.get("x-amzn-requestid") or uuid.uuid4()),
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "requestTimeEpoch": str(int(now * 1000)),
        "resourcePath": (resource or {}).get("path", "-"),
        "responseLatency": str(round(milliseconds)),
        "responseLength": str(len(body or b"")),
        "stage": stage,
        "status": str(status),
    }
    line = _VARIABLE.sub(lambda found: values.get(found[1], "-"), str(settings.get("format") or ""))
    _write(api, stage, str(settings["destinationArn"]), line)


def _write(api: str, stage: str, destination: str, line: str) -> None:
    role = cloudwatch_role()
    group = destination.partition(":log-group:")[2].removesuffix(":*")
    if role is None or group not in _logs._log_groups:
        return
    source = f"arn:aws:apigateway:{_responses.get_region()}::/restapis/{api}/stages/{stage}"
    context = {"aws:SourceArn": source, "aws:SourceAccount": _responses.get_account_id()}
    stream = f"{stage}-{api}-{time.strftime('%Y-%m-%d', time.gmtime(clock.now()))}"
    arn = f"{destination.removesuffix(':*')}:log-stream:{stream}"
    if not authorise.act_as("apigateway.amazonaws.com", "sts:AssumeRole", role, context, path="service-role"):
        return
    if not all(
        authorise.act_as(role, action, arn, path="api-logs") for action in ("logs:CreateLogStream", "logs:PutLogEvents")
    ):
        return
    where = {"logGroupName": group, "logStreamName": stream}
    if stream not in _logs._log_groups[group]["streams"]:
        _logs._create_log_stream(where)
    _logs._put_log_events({**where, "logEvents": [{"timestamp": int(clock.now() * 1000), "message": line}]})


def cloudwatch_role() -> str | None:
    """The role that API Gateway logs with in this account and region."""
    found = (_rest_apis._account_settings.get("settings") or {}).get("cloudwatchRoleArn")
    return None if found is None else str(found)


def complete_stage(name: str, properties: Mapping[str, Any]) -> None:
    """Give a stack's stage its access log. Raises ValueError where the account has no role to log with."""
    setting = properties.get("AccessLogSetting") or {}
    if not setting:
        return
    if cloudwatch_role() is None:
        raise ValueError(_NO_ROLE)
    _rest_apis._stages_v1[properties["RestApiId"]][name]["accessLogSettings"] = {
        "destinationArn": setting.get("DestinationArn", ""),
        "format": setting.get("Format", ""),
    }


def complete_method(_physical_id: str, properties: Mapping[str, Any]) -> None:
    """Give a stack's method its request validator."""
    resource = _rest_apis._resources[properties["RestApiId"]][properties["ResourceId"]]
    if validator := properties.get("RequestValidatorId"):
        resource["resourceMethods"][properties.get("HttpMethod", "ANY")]["requestValidatorId"] = validator


def complete_validator(validator: str, properties: Mapping[str, Any]) -> None:
    """Make a stack's request validator, of which MiniStack gives out an id only."""
    flags = {name: _is_true(properties.get(name)) for name in ("ValidateRequestBody", "ValidateRequestParameters")}
    _rest_apis._request_validators.setdefault(properties["RestApiId"], {})[validator] = {
        "id": validator,
        "name": properties.get("Name", ""),
        "validateRequestBody": flags["ValidateRequestBody"],
        "validateRequestParameters": flags["ValidateRequestParameters"],
    }


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"
