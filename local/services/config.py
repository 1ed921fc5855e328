"""AWS Config: a recorder, a channel and rules are kept; a rule of one's own is run when it is asked for.

Real: requests are checked, a function of a `CUSTOM_LAMBDA` rule is invoked if its policy lets Config in, and what it
puts as evaluations is kept, and EventBridge is told of a verdict that changed. Not real: no resource is recorded,
nothing is delivered to the channel, AWS's managed rules evaluate nothing (they stay `INSUFFICIENT_DATA`), and no rule
runs by itself: `StartConfigRulesEvaluation` runs one, and for a managed rule it is refused. Evaluations are those of
one run: what a run does not name is gone.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference); the event that a function gets:
"Example AWS Lambda Events for AWS Config Rules", AWS Config Developer Guide (from memory).
"""

import datetime
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from local.emulator import clock
from local.services.wire import Caller, JsonService, Operation, ServiceError

Request = Mapping[str, Any]
Members = dict[str, Any]
# Invokes a function in Config's own name: its ARN, the event, the rule's ARN, account, region.
Invoke = Callable[[str, Mapping[str, Any], str, str, str], None]


class Config(JsonService):
    """`aws configservice`."""

    name: ClassVar[str] = "config"
    iam_namespace: ClassVar[str] = "config"
    target_prefix: ClassVar[str] = "StarlingDoveService"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By account and region, then by name: recorders, channels, rules.
        self._recorders: dict[tuple[str, str], dict[str, Members]] = {}
        self._channels: dict[tuple[str, str], dict[str, Members]] = {}
        self._rules: dict[tuple[str, str], dict[str, Members]] = {}
        # Token of a run: place and name of the rule. Evaluations by place and rule.
        self._runs: dict[str, tuple[tuple[str, str], str]] = {}
        self._evaluations: dict[tuple[tuple[str, str], str], list[Members]] = {}
        self._invoke: Invoke | None = None

    def use(self, invoke: Invoke) -> None:
        """Set what invokes functions; the seams do so once."""
        self._invoke = invoke

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "DeleteConfigRule": self._delete_rule,
            "DeleteConfigurationRecorder": self._delete_recorder,
            "DeleteDeliveryChannel": self._delete_channel,
            "DescribeComplianceByConfigRule": self._compliance,
            "DescribeConfigRules": self._describe_rules,
            "DescribeConfigurationRecorderStatus": self._recorder_status,
            "DescribeConfigurationRecorders": self._describe_recorders,
            "DescribeDeliveryChannels": self._describe_channels,
            "GetComplianceDetailsByConfigRule": self._details,
            "PutConfigRule": self._put_rule,
            "PutConfigurationRecorder": self._put_recorder,
            "PutDeliveryChannel": self._put_channel,
            "PutEvaluations": self._put_evaluations,
            "StartConfigRulesEvaluation": self._start,
            "StartConfigurationRecorder": self._start_recorder,
            "StopConfigurationRecorder": self._stop_recorder,
        }

    # --- Recorder and channel: one of each in an account and region ---

    def _put_recorder(self, request: Request, caller: Caller) -> Members:
        given = {"name": "default", **request["ConfigurationRecorder"]}
        kept = self._recorders.setdefault(_place(caller), {})
        if kept and given["name"] not in kept:
            raise ServiceError("MaxNumberOfConfigurationRecordersExceededException", f"There is {next(iter(kept))}.")
        recording = kept.get(given["name"], {}).get("recording", False)
        kept[given["name"]] = {"recorder": given, "recording": recording}
        return {}

    def _recorder(self, caller: Caller, name: str) -> Members:
        found = self._recorders.get(_place(caller), {}).get(name)
        if found is None:
            raise ServiceError("NoSuchConfigurationRecorderException", f"There is no configuration recorder {name}.")
        return found

    def _asked(self, request: Request, caller: Caller) -> list[Members]:
        names = request.get("ConfigurationRecorderNames") or list(self._recorders.get(_place(caller), {}))
        return [self._recorder(caller, name) for name in names]

    def _describe_recorders(self, request: Request, caller: Caller) -> Members:
        return {"ConfigurationRecorders": [one["recorder"] for one in self._asked(request, caller)]}

    def _recorder_status(self, request: Request, caller: Caller) -> Members:
        return {
            "ConfigurationRecordersStatus": [
                {"name": one["recorder"]["name"], "recording": one["recording"]} for one in self._asked(request, caller)
            ]
        }

    def _start_recorder(self, request: Request, caller: Caller) -> Members:
        if not self._channels.get(_place(caller)):
            raise ServiceError("NoAvailableDeliveryChannelException", "A recorder needs a delivery channel.")
        self._recorder(caller, request["ConfigurationRecorderName"])["recording"] = True
        return {}

    def _stop_recorder(self, request: Request, caller: Caller) -> Members:
        self._recorder(caller, request["ConfigurationRecorderName"])["recording"] = False
        return {}

    def _delete_recorder(self, request: Request, caller: Caller) -> Members:
        self._recorder(caller, request["ConfigurationRecorderName"])
        del self._recorders[_place(caller)][request["ConfigurationRecorderName"]]
        return {}

    def _put_channel(self, request: Request, caller: Caller) -> Members:
        given = {"name": "default", **request["DeliveryChannel"]}
        if not self._recorders.get(_place(caller)):
            raise ServiceError("NoAvailableConfigurationRecorderException", "A channel needs a recorder.")
        kept = self._channels.setdefault(_place(caller), {})
        if kept and given["name"] not in kept:
            raise ServiceError("MaxNumberOfDeliveryChannelsExceededException", f"There is {next(iter(kept))}.")
        kept[given["name"]] = given
        return {}

    def _channel(self, caller: Caller, name: str) -> Members:
        found = self._channels.get(_place(caller), {}).get(name)
        if found is None:
            raise ServiceError("NoSuchDeliveryChannelException", f"There is no delivery channel {name}.")
        return found

    def _describe_channels(self, request: Request, caller: Caller) -> Members:
        names = request.get("DeliveryChannelNames") or list(self._channels.get(_place(caller), {}))
        return {"DeliveryChannels": [self._channel(caller, name) for name in names]}

    def _delete_channel(self, request: Request, caller: Caller) -> Members:
        self._channel(caller, request["DeliveryChannelName"])
        if any(one["recording"] for one in self._recorders.get(_place(caller), {}).values()):
            raise ServiceError("LastDeliveryChannelDeleteFailedException", "The recorder is still recording.")
        del self._channels[_place(caller)][request["DeliveryChannelName"]]
        return {}

    # --- Rules ---

    def _put_rule(self, request: Request, caller: Caller) -> Members:
        given = request["ConfigRule"]
        name = given.get("ConfigRuleName")
        if not name:
            raise ServiceError("InvalidParameterValueException", "A rule needs a ConfigRuleName.")
        if not self._recorders.get(_place(caller)):
            raise ServiceError("NoAvailableConfigurationRecorderException", "A rule needs a configuration recorder.")
        if given["Source"]["Owner"] == "CUSTOM_POLICY":
            raise ServiceError("NotImplemented", "This local cloud does not serve rules in Guard.", 501)
        kept = self._rules.setdefault(_place(caller), {})
        identity = kept[name]["ConfigRuleId"] if name in kept else f"config-rule-{secrets.token_hex(3)}"
        kept[name] = {
            **given,
            "ConfigRuleId": identity,
            "ConfigRuleArn": f"arn:aws:config:{caller.region}:{caller.account}:config-rule/{identity}",
            "ConfigRuleState": given.get("ConfigRuleState", "ACTIVE"),
        }
        return {}

    def _rule(self, caller: Caller, name: str) -> Members:
        found = self._rules.get(_place(caller), {}).get(name)
        if found is None:
            raise ServiceError("NoSuchConfigRuleException", f"There is no Config rule {name}.")
        return found

    def _named(self, request: Request, caller: Caller) -> list[Members]:
        names = request.get("ConfigRuleNames") or sorted(self._rules.get(_place(caller), {}))
        return [self._rule(caller, name) for name in names]

    def _describe_rules(self, request: Request, caller: Caller) -> Members:
        return {"ConfigRules": self._named(request, caller)}

    def _delete_rule(self, request: Request, caller: Caller) -> Members:
        name = request["ConfigRuleName"]
        self._rule(caller, name)
        del self._rules[_place(caller)][name]
        self._evaluations.pop((_place(caller), name), None)
        return {}

    def _start(self, request: Request, caller: Caller) -> Members:
        if not request.get("ConfigRuleNames"):
            raise ServiceError("InvalidParameterValueException", "Name the rules to evaluate.")
        rules = self._named(request, caller)
        for rule in rules:
            if rule["Source"]["Owner"] != "CUSTOM_LAMBDA":
                raise ServiceError(
                    "NotImplemented", f"This local cloud keeps the managed rule {rule['ConfigRuleName']} only.", 501
                )
        for rule in rules:
            self._run(rule, caller)
        return {}

    def _run(self, rule: Members, caller: Caller) -> None:
        if self._invoke is None:
            raise RuntimeError("The seams are not installed")
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._runs[token] = _place(caller), rule["ConfigRuleName"]
        notification = {
            "awsAccountId": caller.account,
            "notificationCreationTime": _now().isoformat(),
            "messageType": "ScheduledNotification",
            "recordVersion": "1.0",
        }
        event = {
            "version": "1.0",
            "invokingEvent": json.dumps(notification),
            "ruleParameters": rule.get("InputParameters", "{}"),
            "resultToken": token,
            "eventLeftScope": False,
            "executionRoleArn": "",
            "configRuleArn": rule["ConfigRuleArn"],
            "configRuleName": rule["ConfigRuleName"],
            "configRuleId": rule["ConfigRuleId"],
            "accountId": caller.account,
        }
        self._invoke(rule["Source"]["SourceIdentifier"], event, rule["ConfigRuleArn"], caller.account, caller.region)

    def _put_evaluations(self, request: Request, caller: Caller) -> Members:
        with self._lock:
            run = self._runs.get(request["ResultToken"])
            if run is None or run[0] != _place(caller):
                raise ServiceError("InvalidResultTokenException", "The result token is none of this account's.")
            given = [dict(one) for one in request.get("Evaluations", ())]
            before = {_judged(one): one["ComplianceType"] for one in self._evaluations.get(run, [])}
            if not request.get("TestMode"):
                self._evaluations[run] = given
        if not request.get("TestMode"):
            for one in given:
                if one["ComplianceType"] != before.get(_judged(one)):
                    self._tell(caller, run[1], one, before.get(_judged(one)))
        return {"FailedEvaluations": []}

    def _tell(self, caller: Caller, rule: str, one: Members, before: str | None) -> None:
        # "Amazon EventBridge events for AWS Config", AWS Config Developer Guide (from memory).
        detail = {
            "configRuleName": rule,
            "resourceType": one["ComplianceResourceType"],
            "resourceId": one["ComplianceResourceId"],
            "awsAccountId": caller.account,
            "awsRegion": caller.region,
            "messageType": "ComplianceChangeNotification",
            "newEvaluationResult": {"complianceType": one["ComplianceType"]},
            **({"oldEvaluationResult": {"complianceType": before}} if before else {}),
        }
        caller.emit("aws.config", "Config Rules Compliance Change", detail)

    def _details(self, request: Request, caller: Caller) -> Members:
        rule = self._rule(caller, request["ConfigRuleName"])
        wanted = request.get("ComplianceTypes")
        kept = self._evaluations.get((_place(caller), rule["ConfigRuleName"]), [])
        results = [
            {
                "EvaluationResultIdentifier": {
                    "EvaluationResultQualifier": {
                        "ConfigRuleName": rule["ConfigRuleName"],
                        "ResourceType": one["ComplianceResourceType"],
                        "ResourceId": one["ComplianceResourceId"],
                    },
                    "OrderingTimestamp": one["OrderingTimestamp"],
                },
                "ComplianceType": one["ComplianceType"],
                **({"Annotation": one["Annotation"]} if "Annotation" in one else {}),
            }
            for one in kept
            if not wanted or one["ComplianceType"] in wanted
        ]
        return {"EvaluationResults": results}

    def _compliance(self, request: Request, caller: Caller) -> Members:
        return {
            "ComplianceByConfigRules": [
                {
                    "ConfigRuleName": rule["ConfigRuleName"],
                    "Compliance": {"ComplianceType": self._verdict(rule, caller)},
                }
                for rule in self._named(request, caller)
            ]
        }

    def _verdict(self, rule: Members, caller: Caller) -> str:
        found = {one["ComplianceType"] for one in self._evaluations.get((_place(caller), rule["ConfigRuleName"]), [])}
        for verdict in ("NON_COMPLIANT", "COMPLIANT"):
            if verdict in found:
                return verdict
        return "INSUFFICIENT_DATA"


def _judged(evaluation: Members) -> tuple[str, str]:
    return evaluation["ComplianceResourceType"], evaluation["ComplianceResourceId"]


def _place(caller: Caller) -> tuple[str, str]:
    return caller.account, caller.region


def _now() -> datetime.datetime:
    return datetime.datetime.fromtimestamp(clock.now(), tz=datetime.timezone.utc)
