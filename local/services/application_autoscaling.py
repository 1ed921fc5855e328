"""Application Auto Scaling for the variants of SageMaker endpoints: target tracking that really scales them.

A policy keeps a pair of CloudWatch alarms; this cloud evaluates them as any other, and tells the policy once a minute
as long as one is in alarm. The policy then asks SageMaker for another number of instances, as its service-linked role.
Served: scalable targets, target tracking on SageMakerVariantInvocationsPerInstance or on one customized metric, scaling
activities, suspension. Refused: other services, step and predictive scaling, scheduled actions, metric math, tags.

The rules: out to `ceil(instances * value / target)` once the metric was above the target for three minutes; in, by the
same sum, once it was below 90 % of it for fifteen, and only if every policy of the target with scale-in agrees. Within
the scale-out cool-down only a sum on the former number of instances that gives still more counts; within the scale-in
cool-down nothing is taken away.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference); "How target tracking scaling
for Application Auto Scaling works" (User Guide: cool-downs, several policies, "typically more than 10 % lower");
"Prerequisites" of "Automatically Scale Amazon SageMaker Models" (Amazon SageMaker Developer Guide, in its public
source, which ends in 2023: cool-downs of 300 s, at least one instance, and the permissions on CloudWatch and SageMaker
that whoever sets scaling up needs: to describe the endpoint and to change its capacity, to put, describe and delete
alarms). Which call asks for which of them is not documented: registering is held to ask for those on the endpoint,
putting a policy for those on alarms. Named from memory: that an alarm tells a policy once a minute (Amazon CloudWatch
User Guide, "Alarm actions") and that all policies must agree to scale in (the User Guide's page above); and, as no page
documents them, the sum, the alarms' names and periods, and the wording of messages.
"""

from __future__ import annotations

import datetime
import logging
import math
import re
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from local.emulator import clock
from local.services.wire import Caller, JsonService, Operation, ServiceError

Request = Mapping[str, Any]
Members = dict[str, Any]

NAMESPACE, DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"
PREDEFINED = "SageMakerVariantInvocationsPerInstance"
COOLDOWN_SECONDS = 300
LOW_SHARE = 0.9
HIGH_MINUTES, LOW_MINUTES = 3, 15
_RESOURCE = re.compile(r"endpoint/(?P<endpoint>[A-Za-z0-9-]{1,63})/variant/(?P<variant>[A-Za-z0-9-]{1,63})")
_PAGE = 50
_ACTIVITIES_KEPT = 200
# A change of capacity starts processes; it is waited for, as the service waits until the resource is stable.
_PATIENCE_SECONDS = 600.0
_POLL_SECONDS = 0.1

_log = logging.getLogger(__name__)


class Backend(Protocol):
    """What stands behind the service; the seams provide it."""

    def service_role(self, caller: Caller) -> Caller:
        """The service-linked role for SageMaker as a caller, made where it is not there.

        Raises ServiceError where it would have to be made and the caller may not.
        """


@dataclass
class _Policy:
    """A target tracking policy. `wish` is what it last found for scale-in: moment and instances."""

    members: Members
    wish: tuple[float, int] | None = None

    @property
    def config(self) -> Request:
        config: Request = self.members["TargetTrackingScalingPolicyConfiguration"]
        return config

    @property
    def scales_in(self) -> bool:
        return not self.config.get("DisableScaleIn", False)


@dataclass
class _Target:
    """A scalable target with what belongs to it.

    `out` is when it was last scaled out, and from how many instances; `seen` when its instances were last counted, in
    seconds of `time.monotonic`, and how many they were, unless they were changed from here since.
    """

    members: Members
    caller: Caller
    role: Caller
    policies: dict[str, _Policy] = field(default_factory=dict)
    activities: list[Members] = field(default_factory=list)
    out: tuple[float, int] | None = None
    scaled_in: float | None = None
    seen: tuple[float, int] | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Endpoint and variant."""
        return _place(self.members["ResourceId"])

    def suspended(self, way: str) -> bool:
        """Whether scaling In or Out is suspended."""
        return bool(self.members.get("SuspendedState", {}).get(f"DynamicScaling{way}Suspended"))


class ApplicationAutoScaling(JsonService):
    """Scalable targets, target tracking policies and scaling activities of SageMaker's variants."""

    name: ClassVar[str] = "application-autoscaling"
    iam_namespace: ClassVar[str] = "application-autoscaling"
    target_prefix: ClassVar[str] = "AnyScaleFrontendService"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # By account, region and resource id.
        self._targets: dict[tuple[str, str, str], _Target] = {}
        self._backend: Backend | None = None
        # One change after the other, and never in the thread that evaluates alarms.
        self._hands = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scaling")

    def use(self, backend: Backend) -> None:
        """Set what stands behind the service; the seams do so once."""
        self._backend = backend

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "DeleteScalingPolicy": self._delete_policy,
            "DeregisterScalableTarget": self._deregister,
            "DescribeScalableTargets": self._describe_targets,
            "DescribeScalingActivities": self._describe_activities,
            "DescribeScalingPolicies": self._describe_policies,
            "PutScalingPolicy": self._put_policy,
            "RegisterScalableTarget": self._register,
        }

    def is_registered(self, account: str, region: str, endpoint: str, variant: str) -> bool:
        """Whether a variant is a scalable target."""
        return (account, region, f"endpoint/{endpoint}/variant/{variant}") in self._targets

    def arn_of(self, account: str, region: str, resource: str) -> str:
        """The ARN of a scalable target by its resource id; of one that is not there, the pattern of all."""
        target = self._targets.get((account, region, resource))
        if target is not None:
            return str(target.members["ScalableTargetARN"])
        return f"arn:aws:application-autoscaling:{region}:{account}:scalable-target/*"

    def alarms(self) -> list[tuple[str, str, str, str]]:
        """Account, region, policy's ARN and name of every alarm that policies keep."""
        with self._lock:
            return [
                (account, region, policy.members["PolicyARN"], alarm["AlarmName"])
                for (account, region, _), target in self._targets.items()
                for policy in target.policies.values()
                for alarm in policy.members["Alarms"]
            ]

    def alarmed(  # noqa: PLR0917 (the parts of an alarm's action)
        self, account: str, region: str, policy_arn: str, alarm: str, value: float, moment: float
    ) -> str | None:
        """An alarm of a policy is in alarm at `moment` (epoch seconds), its metric at `value`.

        Returns why nobody cares, or None. What follows is done in another thread.
        """
        with self._lock:
            for (owner, where, _), target in self._targets.items():
                for policy in target.policies.values():
                    if (owner, where, policy.members["PolicyARN"]) == (account, region, policy_arn):
                        self._hands.submit(self._act, target, policy, alarm, value, moment, asked=time.monotonic())
                        return None
        return f"There is no scaling policy {policy_arn}."

    # --- Targets ---

    def _register(self, request: Request, caller: Caller) -> Members:
        key = _key(request, caller)
        if request.get("Tags"):
            raise _unserved("tags of scalable targets")
        known = self._targets.get(key)
        before = known.members if known is not None else {}
        limits = {name: request.get(name, before.get(name)) for name in ("MinCapacity", "MaxCapacity")}
        if None in limits.values():
            raise _invalid("MinCapacity and MaxCapacity are needed for a new scalable target.")
        if not 1 <= limits["MinCapacity"] <= limits["MaxCapacity"]:
            raise _invalid("MinCapacity must be 1 or more, and MaxCapacity no less than MinCapacity.")
        if self._backend is None:
            raise RuntimeError("Nothing stands behind the service")
        role = self._backend.service_role(caller)
        current = _instances(caller, *_place(request["ResourceId"]))
        _may_scale(caller, _place(request["ResourceId"])[0])
        suspended = {**_RUNNING, **before.get("SuspendedState", {}), **request.get("SuspendedState", {})}
        members = {
            "ServiceNamespace": NAMESPACE,
            "ScalableDimension": DIMENSION,
            "ResourceId": request["ResourceId"],
            **limits,
            "RoleARN": _role_arn(caller.account),
            "CreationTime": before.get("CreationTime", _now()),
            "SuspendedState": suspended,
            "ScalableTargetARN": before.get("ScalableTargetARN", _target_arn(caller)),
        }
        with self._lock:
            if known is None:
                known = self._targets[key] = _Target(members, caller, role)
            known.members = members
        wanted = min(max(current, limits["MinCapacity"]), limits["MaxCapacity"])
        if wanted != current:
            cause = "minimum capacity" if wanted > current else "maximum capacity"
            self._hands.submit(self._set, known, wanted, f"{cause} was set to {wanted}", clock.now())
        return {"ScalableTargetARN": members["ScalableTargetARN"]}

    def _deregister(self, request: Request, caller: Caller) -> Members:
        target = self._find(request, caller, "found")
        for name in list(target.policies):
            self._forget_policy(target, name, caller)
        with self._lock:
            self._targets.pop(_key(request, caller), None)
        return {}

    def _describe_targets(self, request: Request, caller: Caller) -> Members:
        _check_namespace(request)
        wanted = request.get("ResourceIds")
        found = [one.members for one in self._of(caller) if wanted is None or one.members["ResourceId"] in wanted]
        page, token = _page(found, request)
        return {"ScalableTargets": page, **token}

    def _find(self, request: Request, caller: Caller, word: str) -> _Target:
        key = _key(request, caller)
        target = self._targets.get(key)
        if target is None:
            raise _missing(
                f"No scalable target {word} for service namespace: {NAMESPACE}, resource ID: {request['ResourceId']},"
                f" scalable dimension: {DIMENSION}"
            )
        return target

    def _of(self, caller: Caller) -> list[_Target]:
        with self._lock:
            here = (caller.account, caller.region)
            return [target for key, target in self._targets.items() if key[:2] == here]

    # --- Policies ---

    def _put_policy(self, request: Request, caller: Caller) -> Members:
        target = self._find(request, caller, "registered")
        if request.get("PolicyType", "StepScaling") != "TargetTrackingScaling":
            raise _unserved(f"{request.get('PolicyType', 'StepScaling')}, only TargetTrackingScaling")
        config = request.get("TargetTrackingScalingPolicyConfiguration")
        if config is None:
            raise _invalid("TargetTrackingScalingPolicyConfiguration is needed.")
        metric = _metric(config, *target.place)
        if config["TargetValue"] <= 0:
            raise _invalid("TargetValue must be greater than 0.")
        name = request["PolicyName"]
        known = target.policies.get(name)
        arn = known.members["PolicyARN"] if known is not None else _policy_arn(caller, request["ResourceId"], name)
        if known is not None:
            _delete_alarms(caller, known)
        members = {
            "PolicyARN": arn,
            "PolicyName": name,
            "ServiceNamespace": NAMESPACE,
            "ResourceId": request["ResourceId"],
            "ScalableDimension": DIMENSION,
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": dict(config),
            "Alarms": _make_alarms(caller, arn, request["ResourceId"], config, metric),
            "CreationTime": known.members["CreationTime"] if known is not None else _now(),
        }
        with self._lock:
            target.policies[name] = _Policy(members)
        return {"PolicyARN": arn, "Alarms": members["Alarms"]}

    def _delete_policy(self, request: Request, caller: Caller) -> Members:
        key = _key(request, caller)
        target = self._targets.get(key)
        if target is None or request["PolicyName"] not in target.policies:
            raise _missing(
                f"No scaling policy found for service namespace: {NAMESPACE}, resource ID: {request['ResourceId']},"
                f" scalable dimension: {DIMENSION}, policy name: {request['PolicyName']}"
            )
        self._forget_policy(target, request["PolicyName"], caller)
        return {}

    def _forget_policy(self, target: _Target, name: str, caller: Caller) -> None:
        _delete_alarms(caller, target.policies[name])
        with self._lock:
            target.policies.pop(name, None)

    def _describe_policies(self, request: Request, caller: Caller) -> Members:
        _check_namespace(request)
        names, resource = request.get("PolicyNames"), request.get("ResourceId")
        found = [
            policy.members
            for target in self._of(caller)
            for name, policy in target.policies.items()
            if resource in (None, target.members["ResourceId"]) and (names is None or name in names)
        ]
        page, token = _page(found, request)
        return {"ScalingPolicies": page, **token}

    def _describe_activities(self, request: Request, caller: Caller) -> Members:
        _check_namespace(request)
        if request.get("IncludeNotScaledActivities"):
            raise _unserved("activities that did not scale")
        resource = request.get("ResourceId")
        found = [
            activity
            for target in self._of(caller)
            if resource in (None, target.members["ResourceId"])
            for activity in list(target.activities)
        ]
        found.sort(key=lambda one: one["StartTime"], reverse=True)
        page, token = _page(found, request)
        return {"ScalingActivities": page, **token}

    # --- Scaling ---

    def _act(self, target: _Target, policy: _Policy, alarm: str, value: float, moment: float, *, asked: float) -> None:
        try:
            # A clock that jumps an hour asks sixty times at once. What was seen since a request was made answers it.
            if target.seen is None or target.seen[0] < asked:
                target.seen = time.monotonic(), _instances(target.role, *target.place)
            current = target.seen[1]
            wanted = math.ceil(current * value / policy.config["TargetValue"])
            chosen = (
                self._out(target, policy, current, value, moment)
                if "-AlarmHigh-" in alarm
                else self._in(target, policy, current, wanted, moment)
            )
            if chosen is not None:
                name = policy.members["PolicyName"]
                cause = f"monitor alarm {alarm} in state ALARM triggered policy {name}"
                if self._set(target, chosen, cause, moment):
                    target.out = (moment, current) if chosen > current else None
                    target.scaled_in = moment if chosen < current else None
        except Exception:  # noqa: BLE001 (the next minute may be better; the log tells)
            _log.exception("%s could not be scaled", target.members["ResourceId"])

    @staticmethod
    def _out(target: _Target, policy: _Policy, current: int, value: float, moment: float) -> int | None:
        if target.suspended("Out"):
            return None
        base, cooldown = current, policy.config.get("ScaleOutCooldown", COOLDOWN_SECONDS)
        if target.out is not None and moment - target.out[0] < cooldown:
            # What was added last counts as part of the sum until the cool-down is over.
            base = target.out[1]
        wanted = min(math.ceil(base * value / policy.config["TargetValue"]), target.members["MaxCapacity"])
        return wanted if wanted > current else None

    @staticmethod
    def _in(target: _Target, policy: _Policy, current: int, wanted: int, moment: float) -> int | None:
        policy.wish = moment, wanted
        if target.suspended("In") or not policy.scales_in:
            return None
        cooldown = policy.config.get("ScaleInCooldown", COOLDOWN_SECONDS)
        if target.scaled_in is not None and moment - target.scaled_in < cooldown:
            return None
        wishes = [one.wish for one in target.policies.values() if one.scales_in]
        if any(wish is None or wish[0] < moment for wish in wishes):
            # Another policy is not for it, or is asked next and then decides for both.
            return None
        most = max(wish[1] for wish in wishes if wish is not None)
        chosen = max(most, target.members["MinCapacity"])
        return chosen if chosen < current else None

    def _set(self, target: _Target, wanted: int, cause: str, moment: float) -> bool:
        """Ask SageMaker for a number of instances and wait until they are there; whether they are."""
        target.seen = None
        endpoint, variant = target.place
        activity: Members = {
            "ActivityId": str(uuid.uuid4()),
            "ServiceNamespace": NAMESPACE,
            "ResourceId": target.members["ResourceId"],
            "ScalableDimension": DIMENSION,
            "Description": f"Setting desired instance count to {wanted}.",
            "Cause": cause,
            "StartTime": _time(moment),
            "StatusCode": "InProgress",
        }
        target.activities.insert(0, activity)
        del target.activities[_ACTIVITIES_KEPT:]
        change = {
            "EndpointName": endpoint,
            "DesiredWeightsAndCapacities": [{"VariantName": variant, "DesiredInstanceCount": wanted}],
        }
        try:
            target.role.call("sagemaker", "UpdateEndpointWeightsAndCapacities", change)
            reason = _settled(target.role, endpoint, variant, wanted)
        except ServiceError as error:
            reason = error.message
        activity["EndTime"] = _time(max(moment, clock.now()))
        if reason:
            activity["StatusMessage"] = f"Failed to set desired instance count to {wanted}. Reason: {reason}"
            activity["StatusCode"] = "Failed"
            return False
        activity["StatusMessage"] = (
            f"Successfully set desired instance count to {wanted}. Change successfully fulfilled by sagemaker."
        )
        activity["StatusCode"] = "Successful"
        return True


# --- What the service asks of others ---------------------------------------------------------------------------------


def _ask(caller: Caller, service: str, operation: str, arguments: Request) -> dict[str, Any]:
    """As Caller.call; a denial is AccessDeniedException, however the other service names it."""
    try:
        return caller.call(service, operation, arguments)
    except ServiceError as error:
        if error.code.startswith("AccessDenied"):
            raise ServiceError("AccessDeniedException", error.message) from error
        raise


def _instances(caller: Caller, endpoint: str, variant: str) -> int:
    """How many instances a variant is to have. Raises ServiceError (ValidationException) where there is none."""
    try:
        found = _ask(caller, "sagemaker", "DescribeEndpoint", {"EndpointName": endpoint})
    except ServiceError as error:
        if error.code == "ValidationException":
            raise _invalid(f"SageMaker endpoint {endpoint} does not exist: {error.message}") from error
        raise
    for one in found.get("ProductionVariants", ()):
        if one["VariantName"] == variant:
            return int(one["DesiredInstanceCount"])
    raise _invalid(f"The SageMaker endpoint {endpoint} has no variant {variant}.")


def _may_scale(caller: Caller, endpoint: str) -> None:
    """Whoever has a variant scaled must be allowed to do so by hand. Raises ServiceError."""
    arn = f"arn:aws:sagemaker:{caller.region}:{caller.account}:endpoint/{endpoint.lower()}"
    _required(caller, "sagemaker:UpdateEndpointWeightsAndCapacities", arn)


def _required(caller: Caller, action: str, arn: str) -> None:
    try:
        caller.require(action, arn)
    except ServiceError as error:
        raise ServiceError("AccessDeniedException", error.message) from error


def _settled(caller: Caller, endpoint: str, variant: str, wanted: int) -> str | None:
    """Why a variant does not have the wanted instances once its endpoint is in service again; None when it has."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = caller.call("sagemaker", "DescribeEndpoint", {"EndpointName": endpoint})
        if found["EndpointStatus"] not in ("Updating", "RollingBack"):
            count = next(
                (one["DesiredInstanceCount"] for one in found["ProductionVariants"] if one["VariantName"] == variant),
                None,
            )
            return None if count == wanted else str(found.get("FailureReason", found["EndpointStatus"]))
        time.sleep(_POLL_SECONDS)
    return "The endpoint did not become stable."


def _metric(config: Request, endpoint: str, variant: str) -> Members:
    """The metric of a policy, as PutMetricAlarm takes it."""
    predefined: Request | None = config.get("PredefinedMetricSpecification")
    custom: Request | None = config.get("CustomizedMetricSpecification")
    if (predefined is None) == (custom is None):
        raise _invalid("Give either a PredefinedMetricSpecification or a CustomizedMetricSpecification.")
    if predefined is not None:
        if predefined["PredefinedMetricType"] != PREDEFINED:
            raise _unserved(f"the metric {predefined['PredefinedMetricType']}, only {PREDEFINED}")
        return {
            "Namespace": "AWS/SageMaker",
            "MetricName": "InvocationsPerInstance",
            "Dimensions": [
                {"Name": "EndpointName", "Value": endpoint},
                {"Name": "VariantName", "Value": variant},
            ],
            "Statistic": "Sum",
        }
    custom = custom or {}
    if "Metrics" in custom:
        raise _unserved("metric math in scaling policies")
    for name in ("MetricName", "Namespace", "Statistic"):
        if name not in custom:
            raise _invalid(f"A CustomizedMetricSpecification needs {name}.")
    kept = ("Namespace", "MetricName", "Dimensions", "Statistic", "Unit")
    return {name: custom[name] for name in kept if name in custom}


def _make_alarms(caller: Caller, policy: str, resource: str, config: Request, metric: Request) -> list[Members]:
    target = config["TargetValue"]
    kinds = [("AlarmHigh", "GreaterThanThreshold", target, HIGH_MINUTES)]
    if not config.get("DisableScaleIn"):
        kinds.append(("AlarmLow", "LessThanThreshold", target * LOW_SHARE, LOW_MINUTES))
    made = []
    for kind, comparison, threshold, minutes in kinds:
        name = f"TargetTracking-{resource}-{kind}-{uuid.uuid4()}"
        _ask(
            caller,
            "cloudwatch",
            "PutMetricAlarm",
            {
                "AlarmName": name,
                "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy}.",
                "ActionsEnabled": True,
                "AlarmActions": [policy],
                **metric,
                "Period": 60,
                "EvaluationPeriods": minutes,
                "Threshold": float(threshold),
                "ComparisonOperator": comparison,
            },
        )
        arn = f"arn:aws:cloudwatch:{caller.region}:{caller.account}:alarm:{name}"
        _required(caller, "cloudwatch:DescribeAlarms", arn)
        made.append({"AlarmName": name, "AlarmARN": arn})
    return made


def _delete_alarms(caller: Caller, policy: _Policy) -> None:
    for alarm in policy.members["Alarms"]:
        _ask(caller, "cloudwatch", "DeleteAlarms", {"AlarmNames": [alarm["AlarmName"]]})


# --- Names, times, errors --------------------------------------------------------------------------------------------

_RUNNING = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": False,
    "ScheduledScalingSuspended": False,
}
SERVICE_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
SERVICE_PRINCIPAL = "sagemaker.application-autoscaling.amazonaws.com"


def _role_arn(account: str) -> str:
    return f"arn:aws:iam::{account}:role/aws-service-role/{SERVICE_PRINCIPAL}/{SERVICE_ROLE}"


def _target_arn(caller: Caller) -> str:
    return f"arn:aws:application-autoscaling:{caller.region}:{caller.account}:scalable-target/0{uuid.uuid4().hex}"


def _policy_arn(caller: Caller, resource: str, name: str) -> str:
    home = f"arn:aws:autoscaling:{caller.region}:{caller.account}:scalingPolicy:{uuid.uuid4()}"
    return f"{home}:resource/{NAMESPACE}/{resource}:policyName/{name}"


def _key(request: Request, caller: Caller) -> tuple[str, str, str]:
    _check_namespace(request)
    _place(request["ResourceId"])
    return caller.account, caller.region, request["ResourceId"]


def _check_namespace(request: Request) -> None:
    if request["ServiceNamespace"] != NAMESPACE:
        raise _unserved(f"the service namespace {request['ServiceNamespace']}, only {NAMESPACE}")
    if request.get("ScalableDimension", DIMENSION) != DIMENSION:
        raise _unserved(f"the scalable dimension {request['ScalableDimension']}, only {DIMENSION}")


def _place(resource: str) -> tuple[str, str]:
    found = _RESOURCE.fullmatch(resource)
    if found is None:
        raise _invalid(f"Unsupported resource id {resource}; it must be endpoint/<name>/variant/<name>.")
    return found["endpoint"], found["variant"]


def _page(found: Sequence[Members], request: Request) -> tuple[list[Members], Members]:
    token = request.get("NextToken") or "0"
    if not token.isdigit():
        raise ServiceError("InvalidNextTokenException", "The NextToken is not valid.")
    start, size = int(token), request.get("MaxResults", _PAGE)
    more = {"NextToken": str(start + size)} if start + size < len(found) else {}
    return list(found[start : start + size]), more


def _time(moment: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(moment, tz=datetime.timezone.utc)


def _now() -> datetime.datetime:
    return _time(clock.now())


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def _missing(message: str) -> ServiceError:
    return ServiceError("ObjectNotFoundException", message)


def _unserved(what: str) -> ServiceError:
    return ServiceError("NotImplemented", f"This local cloud does not serve {what}.", 501)
