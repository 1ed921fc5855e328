"""Condition keys that MiniStack does not know, so that a grant with such a condition is not refused here."""

import json
from typing import Any
from urllib.parse import parse_qs

from ministack.core import iam_actions as _iam_actions

PUT_METRIC_DATA = "cloudwatch:PutMetricData"
# Of Application Auto Scaling's requests: member and condition key. "How Application Auto Scaling works with IAM", User
# Guide, read 2026-11-27.
SCALING = {
    "ServiceNamespace": "application-autoscaling:service-namespace",
    "ScalableDimension": "application-autoscaling:scalable-dimension",
}


def install() -> None:
    """Add the keys to what the gateway evaluates."""
    known = _iam_actions.request_tag_context

    def with_more(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        context: dict[str, Any] = dict(known(service, iam_action, body, params))
        if iam_action == PUT_METRIC_DATA and (namespace := _namespace(body, params)):
            context["cloudwatch:namespace"] = namespace
        if service == "application-autoscaling":
            context |= _of_scaling(body)
        return context

    _iam_actions.request_tag_context = with_more


def _of_scaling(body: bytes) -> dict[str, str]:
    try:
        request = json.loads(body)
        return {key: str(request[member]) for member, key in SCALING.items() if member in request}
    except (ValueError, TypeError):
        return {}


def _namespace(body: bytes, params: dict[str, Any]) -> str:
    """Of a PutMetricData, in the JSON that botocore sends or in the older query protocol.

    The key: Service Authorization Reference, "Actions, resources, and condition keys for Amazon CloudWatch", read
    2026-11-25.
    """
    if "Namespace" in params:
        found = params["Namespace"]
        return str(found[0] if isinstance(found, list) else found)
    try:
        if body[:1] == b"{":
            return str(json.loads(body).get("Namespace", ""))
        return parse_qs(body.decode()).get("Namespace", [""])[0]
    except ValueError:
        # Not a request that the service could read: it will say so itself.
        return ""
