"""Each seam to MiniStack: that what it relies on is still there, and that it does what it is for.

An upgrade of MiniStack that moves a name, a parameter or a call must fail here first.
"""

import ast
import contextlib
import inspect
import json
import subprocess
import sys
import threading
import time
from importlib import import_module, metadata
from operator import attrgetter
from types import CodeType
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from local.cloud import ROOT, LocalCloud
from local.emulator import seams
from local.emulator.seams import worker_logs
from local.environment import child_environment
from local.services import SERVICES
from tests.local.emulated import (
    client_as,
    decided,
    eventually,
    last_sequence,
    make_function,
    make_queue,
    make_role,
    messages,
    policy,
    set_permissions,
    unique,
)

SEAMS = sorted((ROOT / "local" / "emulator" / "seams").glob("*.py"))

# --- What MiniStack must still have


def used_names() -> list[tuple[str, str]]:
    """(module, name) of all that the seams take from MiniStack, read off their source."""
    return sorted({name for path in SEAMS for name in _used_names(ast.parse(path.read_text()))})


def _used_names(tree: ast.Module) -> set[tuple[str, str]]:
    modules = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ministack")
        for alias in node.names
    }
    return {
        (modules[node.value.id], node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    }


def test_the_pinned_version_is_the_one_that_the_seams_know() -> None:
    # Given the requirement, When the installed version is asked for, Then it is that one, and it is pinned exactly
    required = (ROOT / "requirements" / "run.in").read_text().splitlines()
    pins = [line for line in required if line.startswith("ministack")]
    assert pins == [f"ministack=={metadata.version('ministack')}"]


def test_the_seams_are_the_only_package_that_touches_ministack() -> None:
    # Given all our sources, When their imports are read, Then only the seams import MiniStack
    found = []
    for folder in ("local", "scenarios", "stacks", "lambdas", "bench"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found += [path for name in names if name.split(".")[0] == "ministack"]
    assert set(found) <= set(SEAMS)
    assert found


@pytest.mark.parametrize(("module", "name"), used_names())
def test_every_name_that_the_seams_use_exists(module: str, name: str) -> None:
    # Given a name that the seams use, When MiniStack is asked, Then it has it
    assert hasattr(import_module(module), name)


# Wrapped functions, and the parameters that the wrappers count on.
SIGNATURES = {
    "core.router.detect_service": ("method", "path", "headers", "query_params"),
    "core.iam_actions._match_rest_action": ("service", "method", "path", "query_params"),
    "core.iam_actions.request_tag_context": ("service", "iam_action", "body", "params"),
    "services.cloudformation.provisioners._seeded_create": ("create_fn", "logical_id", "props", "stack_name"),
    "app._dispatch_service_request": ("method", "path", "headers", "body", "query_params", "request_id"),
    "core.iam_actions.extract_iam_action": ("service", "method", "path", "headers", "body", "query_params"),
    "core.iam_evaluator.enforce": (
        "access_key_id",
        "iam_action",
        "service",
        "region",
        "resource_arn",
        "service_context",
    ),
    "core.iam_evaluator._fnmatch_compile": ("pattern", "ignore_case"),
    "core.iam_evaluator._resolve_condition_key": ("key", "ctx"),
    "core.iam_evaluator.evaluate_resource_policy": ("doc", "ctx", "service", "named_only", "direct_only"),
    "core.iam_evaluator.resolve_principal": ("access_key_id", "account_id", "credential"),
    "core.iam_evaluator.validate_policy_document": ("doc",),
    "core.iam_actions.access_denied_response": (
        "service",
        "action",
        "principal_arn",
        "request_id",
        "error_code",
        "message",
        "headers",
        "resource_arn",
        "explicit_deny",
        "resource_policy_arn",
    ),
    "core.lambda_runtime.execution_credentials": ("config",),
    "services.sts.register_session": ("access_key", "session"),
    "app.app": ("scope", "receive", "send"),
    "services.s3._resolve_sse_write_headers": ("headers", "bucket_name"),
    "services.ec2._parse_ip_permissions": ("params", "prefix"),
    "services.ec2._resource_matches_tag_filters": ("resource_id", "filters"),
    "services.lambda_svc._create_function": ("data",),
    "services.lambda_svc._update_config": ("name", "data"),
    "services.lambda_svc._vpc_config_with_id": ("request_config",),
    "services.cloudformation.provisioners._ec2_sg_permissions": ("rules",),
    "core.iam_evaluator._first_match": ("ctx", "stmts", "effect"),
    "core.iam_evaluator._gather_role_policies": ("role_name", "account_id"),
    "core.iam_evaluator._conditions_met": ("conditions", "ctx"),
    "core.iam_evaluator._permissions_boundary": ("store", "name", "account_id"),
    "core.iam_evaluator._session_policy_limits": ("session", "account_id"),
    "core.iam_evaluator._names_caller": ("principal", "caller_arn"),
    "core.iam_evaluator._principal_matches": ("principal", "caller_arn"),
    "services.eventbridge._invoke_target": ("target", "event", "rule", "view"),
    "services.eventbridge._dispatch_to_sqs": ("spec", "payload", "sqs_parameters"),
    "services.eventbridge._dispatch_event": ("event", "view"),
    "services.sqs.queue_policy_allows": ("queue_arn", "service", "source_arn", "source_account"),
    "services.sqs._delete_messages_for_esm": ("queue_url", "receipt_handles"),
    "services.lambda_svc._sqs_esm_concurrency": ("esm", "func_rec", "config", "queue"),
    "services.lambda_svc._run_sqs_batch": ("esm", "func_rec", "event", "batch", "queue_url", "queue_name"),
    "services.lambda_svc._execute_function": ("func", "event"),
    "services.lambda_svc._execute_function_dispatch": ("func", "config", "event", "request_id", "started"),
    "services.lambda_svc._xray_trace_id_for_invocation": ("config", "inbound_trace_header"),
    "services.sns._fanout": (
        "topic_arn",
        "msg_id",
        "message",
        "subject",
        "message_structure",
        "message_attributes",
        "message_group_id",
        "message_dedup_id",
    ),
    "services.s3._get_object_data": ("bucket_name", "key", "version_id"),
    "services.sqs._collect_msgs": ("q", "max_n", "vis_timeout"),
    "services.sqs._receive_messages_for_esm": ("queue_url", "max_number"),
    "services.cloudwatch._put_metric_alarm": ("params", "cbor_data", "is_cbor", "is_json"),
    "services.cloudwatch._put_composite_alarm": ("params", "cbor_data", "is_cbor", "is_json"),
    "services.cloudwatch._delete_alarms": ("params", "cbor_data", "is_cbor", "is_json"),
    "services.cloudwatch._dispatch_alarm_actions": ("alarm", "old_state", "new_state", "reason"),
    "services.cloudwatch._dims_from_list": ("dimensions",),
    "services.cloudwatch._point_stats": ("pt",),
    "services.cloudformation.provisioners._cw_metric_alarm_record": ("name", "props"),
    "core.iam_actions.extract_resource_arn": (
        "service",
        "method",
        "path",
        "headers",
        "body",
        "query_params",
        "region",
        "account_id",
    ),
    "services.apigateway_v1.handle_execute": (
        "api_id",
        "stage_name",
        "method",
        "path",
        "headers",
        "body",
        "query_params",
    ),
    "services.apigateway_v1._execute_in_scope": (
        "request",
        "api_id",
        "stage_name",
        "method",
        "path",
        "headers",
        "body",
        "query_params",
        "owner_account_id",
        "owner_region",
    ),
    "services.cloudformation.provisioners._sm_secret_string": ("props",),
    "services.cloudformation.stacks._runs_on_worker_thread": ("resource_type",),
    "services.scheduler._create_schedule": ("name", "body"),
    "services.scheduler._update_schedule": ("name", "body"),
    "services.scheduler._tick_schedules": (),
    "services.eventbridge._put_events": ("data", "allow_aws_source"),
    "services.eventbridge._dispatch_to_lambda": ("arn", "payload"),
    "services.eventbridge._dispatch_to_stepfunctions": ("arn", "payload"),
    "services.lambda_svc.invoke_async_with_retry": ("func", "event"),
    "services.cloudtrail._account_trail_items": ("account_id",),
    "services.s3._put_object": ("bucket_name", "key", "body", "headers"),
    "services.lambda_svc._route_async_failure": ("target_arn", "func_name", "event", "result"),
    "services.s3._deliver_event_to_lambda": ("arn", "event_payload", "bucket_region"),
    "services.sns._deliver_to_lambda": (
        "endpoint",
        "envelope",
        "topic_arn",
        "sub_arn",
        "msg_id",
        "raw_message",
        "message_attributes",
    ),
    "services.stepfunctions._run_execution": ("exec_arn",),
    "services.stepfunctions._run_sub_machine": ("states", "start_at", "input_data", "execution", "ctx"),
    "services.stepfunctions._fail_execution": ("execution", "error", "cause"),
    "services.stepfunctions._execute_task": ("state_def", "raw_input", "execution", "ctx"),
    "services.stepfunctions._run_map_items": ("state_def", "raw_input", "execution", "ctx"),
    "services.stepfunctions._with_retry_and_catch": ("state_def", "raw_input", "ctx", "attempt"),
    "services.stepfunctions._invoke_resource": ("resource", "input_data"),
    "services.stepfunctions._add_event": ("execution", "event_type", "details"),
    "services.stepfunctions._emit_execution_status_event": ("execution",),
    "services.stepfunctions._error_matches": ("error_equals", "error"),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_wrapped_function_takes_what_its_wrapper_passes(name: str) -> None:
    # Given a wrapped function, When its parameters are read, Then they are the ones that the wrapper knows
    module, _, function = name.rpartition(".")
    found = inspect.signature(getattr(import_module(f"ministack.{module}"), function)).parameters
    assert tuple(found) == SIGNATURES[name]


# (module, caller, callee): the caller must look the callee up when it runs, or replacing it would change nothing.
CALLS = [
    ("app", "app", "_dispatch_service_request"),
    ("app", "_dispatch_service_request", "detect_service"),
    ("services.cloudformation.stacks", "_deploy_stack_async", "_runs_on_worker_thread"),
    ("core.iam_evaluator", "evaluate", "_first_match"),
    ("core.iam_evaluator", "_conditions_met", "_resolve_condition_key"),
    ("core.lambda_runtime", "Worker._spawn", "execution_credentials"),
    ("services.sts", "handle_request", "register_session"),
    ("app", "_dispatch_service_request", "access_denied_response"),
    ("services.ec2", "handle_request", "_ACTION_MAP"),
    ("services.ec2", "_authorize_sg_egress", "_parse_ip_permissions"),
    ("services.ec2", "_authorize_sg_ingress", "_parse_ip_permissions"),
    ("services.lambda_svc", "handle_request", "_create_function"),
    ("services.lambda_svc", "handle_request", "_update_config"),
    ("services.cloudformation.provisioners", "_lambda_update", "_update_config"),
    ("core.iam_evaluator", "resolve_principal", "_gather_role_policies"),
    ("core.iam_evaluator", "resolve_principal", "_permissions_boundary"),
    ("core.iam_evaluator", "resolve_principal", "_session_policy_limits"),
    ("core.iam_evaluator", "_first_match", "_conditions_met"),
    ("core.iam_evaluator", "evaluate_trust_policy", "_conditions_met"),
    ("core.iam_evaluator", "_conditions_met", "_resolve_condition_key"),
    ("services.iam", "handle_request", "_IAM_HANDLERS"),
    ("app", "_dispatch_service_request", "access_denied_response"),
    ("services.eventbridge", "_dispatch_event", "_invoke_target"),
    ("services.eventbridge", "_tick_scheduled_rules", "_invoke_target"),
    ("services.eventbridge", "_invoke_target", "_dispatch_to_sqs"),
    ("services.s3", "_put_object", "_resolve_sse_write_headers"),
    ("services.s3", "_fire_s3_event", "_dispatch_event"),
    ("services.s3", "_fire_s3_event_async", "_fire_s3_event"),
    ("services.sns", "_deliver_to_sqs", "queue_policy_allows"),
    ("services.sns", "_fanout", "_deliver_to_sqs"),
    ("services.sqs", "_act_receive_message", "_dlq_sweep"),
    ("services.sqs", "_act_receive_message", "_collect_msgs"),
    ("services.lambda_svc", "_poll_sqs", "_sqs_esm_concurrency"),
    ("services.lambda_svc", "_poll_sqs", "_receive_messages_for_esm"),
    ("services.lambda_svc", "_poll_sqs", "_run_sqs_batch"),
    ("services.lambda_svc", "_run_sqs_batch", "_execute_function"),
    ("services.lambda_svc", "_run_sqs_batch", "_delete_messages_for_esm"),
    ("services.lambda_svc", "_execute_function", "_execute_function_dispatch"),
    ("services.lambda_svc", "_execute_function_dispatch", "_emit_lambda_logs"),
    ("services.lambda_svc", "_execute_function_dispatch", "_execute_function_warm"),
    ("services.lambda_svc", "_execute_function_warm", "_xray_trace_id_for_invocation"),
    ("core.lambda_runtime", "Worker._spawn", "zipfile"),
    ("core.lambda_runtime", "Worker._spawn", "extractall"),
    ("core.lambda_runtime", "Worker.invoke", "_drain_stderr_bounded"),
    ("core.lambda_runtime", "Worker.invoke", "_drain_stderr"),
    ("services.lambda_svc", "invoke_async_with_retry", "_execute_function"),
    ("services.lambda_svc", "_invoke", "_emit_lambda_metrics"),
    ("services.cloudwatch", "handle_request", "_evict_old_metrics"),
    ("services.cloudwatch", "handle_request", "_put_metric_alarm"),
    ("services.cloudwatch", "handle_request", "_put_composite_alarm"),
    ("services.cloudwatch", "_put_metric_data", "_store_datum"),
    ("services.cloudwatch", "_put_metric_data", "_evaluate_all_alarms"),
    ("services.cloudwatch", "_put_metric_alarm", "_evaluate_alarm"),
    ("services.cloudwatch", "_put_composite_alarm", "_transition_composite"),
    ("services.cloudwatch", "_set_alarm_state", "_dispatch_alarm_actions"),
    ("services.cloudwatch", "_set_alarm_state", "_evaluate_parent_alarms"),
    ("services.cloudwatch", "_get_metric_statistics", "_dims_from_list"),
    ("services.cloudwatch", "_get_metric_data", "_dims_from_list"),
    ("services.cloudwatch", "cloudformation_put_metric_alarm", "_evaluate_alarm"),
    ("services.cloudformation.provisioners", "_cw_metric_alarm_put", "_cw_metric_alarm_record"),
    ("app", "_handle_execute_api_request", "handle_execute"),
    ("services.apigateway_v1", "_handle_execute_in_scope", "_execute_in_scope"),
    ("services.cloudformation.provisioners", "_sm_secret_create", "_sm_secret_string"),
    ("services.cloudformation.provisioners", "_sm_secret_update", "_sm_secret_string"),
    ("services.eventbridge", "handle_request", "_put_events"),
    ("services.sns", "publish_internal", "_fanout"),
    ("services.stepfunctions", "handle_request", "_create_state_machine"),
    ("services.stepfunctions", "handle_request", "_update_state_machine"),
    ("services.stepfunctions", "handle_request", "_describe_state_machine"),
    ("services.stepfunctions", "handle_request", "_start_execution"),
    ("services.cloudformation.provisioners", "_sfn_state_machine_update", "_update_state_machine"),
    ("services.eventbridge", "_invoke_target", "_dispatch_to_lambda"),
    ("services.eventbridge", "_invoke_target", "_dispatch_to_stepfunctions"),
    ("services.sns", "_fanout", "_deliver_to_lambda"),
    ("services.s3", "_fire_s3_event", "_deliver_event_to_lambda"),
    ("services.apigateway_v1", "_execute_in_scope", "_invoke_lambda_proxy_v1"),
    ("services.apigateway_v1", "_execute_in_scope", "_invoke_lambda_custom_v1"),
    ("services.lambda_svc", "invoke_async_with_retry", "_route_async_failure"),
    ("services.stepfunctions", "_start_execution", "_run_execution"),
    ("services.stepfunctions", "_start_execution", "_emit_execution_status_event"),
    ("services.stepfunctions", "_start_sync_execution", "_run_execution"),
    ("services.stepfunctions", "_stop_execution", "_add_event"),
    ("services.stepfunctions", "_test_state", "_invoke_resource"),
    ("services.stepfunctions", "_execute_map", "_run_map_items"),
    ("services.stepfunctions", "_execute_map", "_with_retry_and_catch"),
    ("services.stepfunctions", "_execute_wait", "_scaled_sleep"),
    ("services.stepfunctions", "_execute_wait", "_sleep_until"),
    ("services.stepfunctions", "_find_matching_retrier", "_error_matches"),
    ("services.stepfunctions", "_find_matching_catcher", "_error_matches"),
    ("services.stepfunctions", "handle_request", "_send_task_success"),
    ("services.stepfunctions", "handle_request", "_send_task_failure"),
    ("services.stepfunctions", "handle_request", "_send_task_heartbeat"),
    ("services.stepfunctions", "handle_request", "_stop_execution"),
    ("services.stepfunctions", "handle_request", "_test_state"),
]


def names_in(code: CodeType) -> set[str]:
    """Names that a function and those inside it look up."""
    inner = [names_in(item) for item in code.co_consts if isinstance(item, CodeType)]
    return set(code.co_names).union(*inner)


@pytest.mark.parametrize(("module", "caller", "callee"), CALLS)
def test_a_hooked_function_is_looked_up_when_it_is_called(module: str, caller: str, callee: str) -> None:
    # Given a caller of a hooked function, When its code is read, Then it looks that function up by name
    function = attrgetter(caller)(import_module(f"ministack.{module}"))
    assert callee in names_in(inspect.unwrap(function).__code__)


def test_the_gateway_fetches_what_it_authorises_with_at_each_call() -> None:
    # Given the gateway's dispatch, When its code is read, Then it imports the decision and the action inside itself
    source = inspect.getsource(import_module("ministack.app")._dispatch_service_request)
    assert "from ministack.core.iam_evaluator import AuthError, enforce" in source
    assert "from ministack.core.iam_actions import" in source


def test_the_workers_script_reports_errors_where_they_are_named() -> None:
    # Given MiniStack's worker, When its script is read, Then what the hook replaces is in it, once
    script = import_module("ministack.core.lambda_runtime")._PYTHON_WORKER_SCRIPT
    for part in (seams._HANDLER_RESULT, seams._HANDLER_ERROR, "\ndef run():", worker_logs.ANSWER_SENT):
        assert script.count(part) == 1


# --- Stacks


def test_a_stacks_table_goes_as_the_service_deletes_it(cloud: LocalCloud) -> None:
    # Given a stack with a tagged table that must not be deleted
    formation, name = cloud.client("cloudformation"), unique("tagged")

    def template(*, protected: bool) -> str:
        key = [{"AttributeName": "id", "KeyType": "HASH"}]
        table = {
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": key,
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "Tags": [{"Key": "owner", "Value": name}],
            "DeletionProtectionEnabled": protected,
        }
        return json.dumps({"Resources": {"Table": {"Type": "AWS::DynamoDB::Table", "Properties": table}}})

    def tagged() -> list[str]:
        found = cloud.client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "owner", "Values": [name]}])
        return [one["ResourceARN"] for one in found["ResourceTagMappingList"]]

    identifier = formation.create_stack(StackName=name, TemplateBody=template(protected=True))["StackId"]
    formation.get_waiter("stack_create_complete").wait(StackName=identifier, WaiterConfig={"Delay": 1})
    assert len(tagged()) == 1
    # When the stack is deleted, Then it fails and the table stays
    formation.delete_stack(StackName=name)
    state = eventually(lambda: ended_state(formation, identifier))
    assert state == "DELETE_FAILED"
    assert len(tagged()) == 1
    # When the table may be deleted, Then nothing is left of it, its tags included
    cloud.client("dynamodb").update_table(TableName=name, DeletionProtectionEnabled=False)
    formation.delete_stack(StackName=name)
    eventually(lambda: ended_state(formation, identifier) == "DELETE_COMPLETE")
    assert tagged() == []


def ended_state(formation: Any, stack: str) -> str | None:
    """The state of a stack, unless it is being changed."""
    state: str = formation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    return None if state.endswith("_IN_PROGRESS") else state


# --- Added services


def test_an_added_service_is_authorised_and_routed(cloud: LocalCloud) -> None:
    # Given a role without permissions, and every service that is added
    role = make_role(cloud)
    for service in SERVICES:
        # Not checked by the SDK: the request has no parameters, and is to be refused before anybody looks at them.
        client = client_as(cloud, role, service.name, parameter_validation=False)
        operation = sorted(service.operations())[0]
        request = f"{service.iam_namespace}:{operation}"
        before = last_sequence(cloud)
        # When it calls an operation, Then it is denied by name, and the denial is recorded
        with pytest.raises(ClientError) as raised:
            getattr(client, xform_name(operation))()
        assert raised.value.response["Error"]["Code"] == "AccessDeniedException"
        denied = [item for item in cloud.control.decisions(before) if item["action"] == request]
        assert [item["allowed"] for item in denied] == [False], request


def test_an_added_service_reads_objects_as_its_caller(cloud: LocalCloud) -> None:
    # Given an object with two versions, and a role that may ask Rekognition but read only under one prefix
    bucket, s3 = unique("bucket"), cloud.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    photo = next(iter(sorted((ROOT / "samples" / "photos").glob("*.jpg")))).read_bytes()
    first = s3.put_object(Bucket=bucket, Key="in/ä b.jpg", Body=photo)["VersionId"]
    s3.put_object(Bucket=bucket, Key="in/ä b.jpg", Body=b"no picture")
    s3.put_object(Bucket=bucket, Key="out/c.jpg", Body=photo)
    ask = {"Action": "rekognition:DetectLabels", "Resource": "*"}
    read = {"Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": f"arn:aws:s3:::{bucket}/in/*"}
    role = make_role(cloud, ask, read)
    rekognition = client_as(cloud, role, "rekognition")

    def error_of(**where: str) -> str:
        with pytest.raises(ClientError) as raised:
            rekognition.detect_labels(Image={"S3Object": where})
        return str(raised.value.response["Error"]["Code"])

    # When it asks for the first version, Then it is answered, and the read is recorded as the role's
    before = last_sequence(cloud)
    found = rekognition.detect_labels(Image={"S3Object": {"Bucket": bucket, "Name": "in/ä b.jpg", "Version": first}})
    assert found["Labels"]
    (reading,) = decided(cloud, "s3:GetObjectVersion", f"arn:aws:s3:::{bucket}/in/ä b.jpg", before)
    assert (reading["allowed"], reading["role"]) == (True, role.rpartition("/")[2])
    # When it asks for the latest, for nothing, for another bucket or for what it may not read, Then each fails
    assert error_of(Bucket=bucket, Name="in/ä b.jpg") == "InvalidImageFormatException"
    assert error_of(Bucket=bucket, Name="in/none.jpg") == "InvalidS3ObjectException"
    assert error_of(Bucket=unique("none"), Name="in/none.jpg") == "InvalidS3ObjectException"
    assert error_of(Bucket=bucket, Name="out/c.jpg") == "InvalidS3ObjectException"
    assert not decided(cloud, "s3:GetObject", f"arn:aws:s3:::{bucket}/out/c.jpg")[-1]["allowed"]
    # When it may read nothing any more, Then the first version fails as well
    set_permissions(cloud, role, ask)
    assert error_of(Bucket=bucket, Name="in/ä b.jpg", Version=first) == "InvalidS3ObjectException"


def test_who_may_not_list_a_bucket_does_not_learn_what_is_missing(cloud: LocalCloud) -> None:
    # Given a versioned bucket, an object of which one version was deleted, and a role that may read objects only
    bucket, s3 = unique("bucket"), cloud.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    gone = s3.put_object(Bucket=bucket, Key="in/a.jpg", Body=b"1")["VersionId"]
    s3.put_object(Bucket=bucket, Key="in/a.jpg", Body=b"2")
    s3.delete_object(Bucket=bucket, Key="in/a.jpg", VersionId=gone)
    objects = {"Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": f"arn:aws:s3:::{bucket}/*"}
    role = make_role(cloud, objects)
    mine = client_as(cloud, role, "s3")

    def answers() -> list[str]:
        asked = (
            (mine.get_object, {"Key": "in/a.jpg", "VersionId": gone}),
            (mine.get_object, {"Key": "in/none.jpg"}),
            (mine.head_object, {"Key": "in/none.jpg"}),
        )
        codes = []
        for ask, which in asked:
            with pytest.raises(ClientError) as raised:
                ask(Bucket=bucket, **which)
            codes.append(str(raised.value.response["Error"]["Code"]))
        return codes

    # When it reads what is not there, Then it is refused, as S3 does
    assert answers() == ["AccessDenied", "AccessDenied", "403"]
    # and what is there is read
    assert mine.get_object(Bucket=bucket, Key="in/a.jpg")["Body"].read() == b"2"
    # When it may list the bucket, Then it is told
    set_permissions(cloud, role, objects, {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"})
    assert answers() == ["NoSuchVersion", "NoSuchKey", "404"]


# --- Queues


def test_the_clock_moves_visibility_and_delay(cloud: LocalCloud) -> None:
    # Given a received message that is invisible for an hour, and one that is delayed by a quarter
    url, _ = make_queue(cloud, VisibilityTimeout="3600")
    sqs = cloud.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="seen")
    assert len(messages(cloud, url)) == 1
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=900)
    assert messages(cloud, url) == []
    # When the clock is moved by an hour, Then both are there
    before = cloud.control.clock()
    assert cloud.control.clock_advance(3600) == before + 3600
    assert sorted(message["Body"] for message in messages(cloud, url)) == ["later", "seen"]


# One thread sends, another receives and deletes as the poller does; threads are switched where a queue's list of
# messages is about to be replaced, which the interpreter may do at any time.
CROWD = """
import linecache, sys, threading, time
from local.emulator import seams
if sys.argv[1] == "hooked":
    seams._serialise_queue_changes()
sqs = seams._sqs
url = sqs._act_create_queue({"QueueName": "crowded"}, "")["QueueUrl"]
handled = []

def trace(frame, event, _):
    if frame.f_code.co_filename != sqs.__file__:
        return None
    if linecache.getline(sqs.__file__, frame.f_lineno).strip().startswith('q["messages"] ='):
        time.sleep(0.002)
    return trace

def send():
    for _ in range(100):
        time.sleep(0.001)
        sqs._act_send_message({"QueueUrl": url, "MessageBody": "x"}, url)

def poll():
    while sender.is_alive() or sqs._queues.get(url)["messages"]:
        batch = sqs._receive_messages_for_esm(url, 10)
        handled.extend(message["id"] for message in batch)
        sqs._delete_messages_for_esm(url, {message["receipt_handle"] for message in batch})

threading.settrace(trace)
sender, poller = threading.Thread(target=send), threading.Thread(target=poll)
for thread in (sender, poller):
    thread.start()
for thread in (sender, poller):
    thread.join()
print(len(handled), len(set(handled)))
"""


@pytest.mark.parametrize(("hook", "loses"), [("plain", True), ("hooked", False)])
def test_no_message_is_lost_while_a_queue_changes_in_two_threads(hook: str, loses: bool) -> None:
    # Given MiniStack's queues, without and with the hook, When a sender and the poller change one at a time
    command = [sys.executable, "-c", CROWD, hook]
    ended = subprocess.run(
        command, cwd=ROOT, env=child_environment(), capture_output=True, text=True, timeout=60, check=True
    )
    handled, different = map(int, ended.stdout.split())
    # Then without the hook messages are lost, with it every message is handled, once
    assert handled == different
    assert (handled < 100) is loses
    assert handled <= 100


# --- Objects


def test_an_objects_event_carries_its_version(cloud: LocalCloud) -> None:
    # Given a versioned bucket whose events a rule sends to a queue
    bucket, s3, events = unique("bucket"), cloud.client("s3"), cloud.client("events")
    url, arn = make_queue(cloud)
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    rule = unique("rule")
    pattern = {
        "source": ["aws.s3"],
        "detail": {"bucket": {"name": [bucket]}, "object": {"version-id": [{"exists": True}]}},
    }
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "q", "Arn": arn}])
    sender = {"Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(sender)})
    # When an object is written twice
    key = "a b/ü+%.jpg"
    versions = [s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"] for body in (b"1", b"22")]
    # Then each event names its version, its raw key, and a sequencer that grows
    received: list[dict[str, Any]] = []

    def both() -> bool:
        received.extend(messages(cloud, url))
        return len(received) == 2

    eventually(both)
    objects = sorted(
        (json.loads(message["Body"])["detail"]["object"] for message in received), key=lambda item: item["sequencer"]
    )
    assert [item["version-id"] for item in objects] == versions
    assert [item["size"] for item in objects] == [1, 2]
    assert {item["key"] for item in objects} == {key}


def test_a_batch_that_deletes_versions_needs_only_that_permission(cloud: LocalCloud) -> None:
    # Given a versioned object and a role that may delete versions, but not objects
    bucket, s3 = unique("bucket"), cloud.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    role = make_role(cloud, {"Action": "s3:DeleteObjectVersion", "Resource": f"arn:aws:s3:::{bucket}/*"})
    mine = client_as(cloud, role, "s3")
    # When it deletes the object without a version, Then it is denied; with the version, it is not
    with pytest.raises(ClientError, match="s3:DeleteObject "):
        mine.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})
    mine.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": version}]})
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)


@pytest.mark.parametrize(
    ("action", "call", "entry"),
    [
        ("sqs:SendMessage", "send_message_batch", {"MessageBody": "x"}),
        ("sqs:DeleteMessage", "delete_message_batch", {"ReceiptHandle": "x"}),
        ("sqs:ChangeMessageVisibility", "change_message_visibility_batch", {"ReceiptHandle": "x"}),
    ],
)
def test_a_batch_of_messages_needs_the_single_action(
    cloud: LocalCloud, action: str, call: str, entry: dict[str, Any]
) -> None:
    # Given a role that may do something with one message
    url, arn = make_queue(cloud)
    mine = client_as(cloud, make_role(cloud, {"Action": action, "Resource": arn}), "sqs")
    # When it does so with a batch, Then the queue answers, and the decision names the single action
    before = last_sequence(cloud)
    assert getattr(mine, call)(QueueUrl=url, Entries=[{"Id": "1", **entry}])
    assert [item["allowed"] for item in decided(cloud, action, arn, before)] == [True]


# --- Requests


@pytest.mark.parametrize(
    ("service", "call", "arguments", "counted"),
    [
        ("s3", "head_bucket", {"Bucket": "no-such-bucket"}, "s3.HeadBucket"),
        ("s3", "head_object", {"Bucket": "no-such-bucket", "Key": "k"}, "s3.HeadObject"),
        ("s3", "get_object", {"Bucket": "no-such-bucket", "Key": "k"}, "s3.GetObject"),
        ("s3", "get_object", {"Bucket": "no-such-bucket", "Key": "k", "VersionId": "v"}, "s3.GetObject"),
        ("s3", "list_objects_v2", {"Bucket": "no-such-bucket"}, "s3.ListObjectsV2"),
        (
            "s3",
            "delete_objects",
            {"Bucket": "no-such-bucket", "Delete": {"Objects": [{"Key": "k"}]}},
            "s3.DeleteObjects",
        ),
        ("dynamodb", "get_item", {"TableName": "none", "Key": {"k": {"S": "x"}}}, "dynamodb.GetItem"),
        ("sqs", "get_queue_url", {"QueueName": "none"}, "sqs.GetQueueUrl"),
        ("lambda", "invoke", {"FunctionName": "none"}, "lambda.Invoke"),
        ("iam", "get_role", {"RoleName": "none"}, "iam.GetRole"),
        ("cloudwatch", "describe_alarms", {}, "monitoring.DescribeAlarms"),
        ("rekognition", "detect_labels", {"Image": {"Bytes": b"x"}}, "rekognition.DetectLabels"),
    ],
)
def test_a_request_is_counted_under_its_operation(
    cloud: LocalCloud, service: str, call: str, arguments: dict[str, Any], counted: str
) -> None:
    # Given the count so far
    before = cloud.control.calls().get(counted, 0)
    # When an operation is called, whatever it answers
    client = cloud.client(service, retries={"total_max_attempts": 1})
    with contextlib.suppress(ClientError):
        getattr(client, call)(**arguments)
    # Then it is counted once, under the API's name
    assert cloud.control.calls()[counted] == before + 1


def test_a_model_at_work_does_not_hold_up_other_services(cloud: LocalCloud) -> None:
    # Given a photo that takes the model a while, asked for in another thread
    photo = next(iter(sorted((ROOT / "samples" / "photos").glob("*.jpg")))).read_bytes()
    done = threading.Event()

    def ask() -> None:
        for _ in range(5):
            cloud.client("rekognition").detect_labels(Image={"Bytes": photo})
        done.set()

    thread = threading.Thread(target=ask)
    thread.start()
    # When other services are called meanwhile, Then they answer before it is done
    answered = 0
    while not done.is_set():
        cloud.client("sqs").list_queues()
        answered += 1
    thread.join()
    assert answered > 1


# --- Invocations


def test_a_direct_invocation_counts_as_one(cloud: LocalCloud) -> None:
    # Given a function that fails on demand
    source = "def handler(event, context):\n    return 1 / event['divisor']\n"
    function = make_function(cloud, source, make_role(cloud))
    # When it is invoked twice, failing once
    cloud.client("lambda").invoke(FunctionName=function, Payload=b'{"divisor": 1}')
    cloud.client("lambda").invoke(FunctionName=function, Payload=b'{"divisor": 0}')
    # Then the metrics, which are fed by the hook after an invocation, say two and one
    until = time.time() + cloud.control.clock() + 120

    def total(metric: str) -> float:
        points = cloud.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=[{"Name": "FunctionName", "Value": function}],
            StartTime=until - 600,
            EndTime=until,
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return float(sum(point["Sum"] for point in points))

    assert (total("Invocations"), total("Errors")) == (2, 1)


def test_the_source_of_the_seams_has_no_unused_contract() -> None:
    # Given the contract's tables, When the seams' source is read, Then each wrapped name is really used in it
    source = "".join(path.read_text() for path in SEAMS)
    for name in SIGNATURES:
        assert name.rpartition(".")[2] in source, name
