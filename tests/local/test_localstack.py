"""The second cloud: a LocalStack core with the project's services in it. The core itself is started by `make soak`."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import demo, demos, environment
from local.assembly import synthesize
from local.cloud import CloudError, LocalCloud, bind
from local.control import ControlError
from local.deploy import deploy, destroy
from local.emulator import certificate, faults
from local.localstack import cloud as localstack
from local.localstack import core, plugins
from local.localstack import host as hosting
from local.localstack.caller import LocalStackCaller
from local.localstack.cloud import LocalStack, own, reachable
from local.services import SAGEMAKER, resource_types
from local.services.wire import ObjectUnavailable
from scenarios import clouds, private_network
from stacks import catalogue
from stacks.catalogue import with_needs
from tests import conftest
from tests.scenarios.driver import PHOTOS

# What the bars name, and what runs beside.
ARCHITECTURES = [one.id for one in catalogue.available() if clouds.where_it_runs("localstack", one.id) is None]


# --- which scenario runs where


def test_every_reason_is_of_an_architecture_or_a_test_that_is_there() -> None:
    # Given the table, When its keys are looked up, Then each is of something that exists
    known = {one.id for one in catalogue.available()}
    files = list((Path(__file__).parents[1] / "scenarios").glob("test_*.py"))
    for cloud, reasons in clouds.table().items():
        assert set(reasons.get("architectures", {})) <= known, cloud
        assert set(reasons.get("demos", {})) <= known, cloud
        for pattern in reasons.get("tests", {}):
            fitting, _, test = pattern.partition("::")
            found = [file for file in files if fnmatchcase(file.name, fitting)]
            assert found, pattern
            name = test.rstrip("*")
            assert not test or any(f"def {name}" in file.read_text() for file in found), pattern


def test_a_scenario_that_a_cloud_cannot_run_has_its_reason() -> None:
    # Given architectures that need what LocalStack lacks, or not, When they are asked for, Then the one has a reason
    assert clouds.where_it_runs("localstack", "cost-guard") == "LocalStack's core has no Budgets"
    assert clouds.where_it_runs("localstack", "image-labeling") is None
    assert clouds.where_it_runs("local", "cost-guard") is None
    # And so has a test, by its file or its name
    reason = clouds.where_a_test_runs
    assert reason("localstack", "test_cost_guard.py", "test_it") == "LocalStack's core has no Budgets"
    assert reason("localstack", "test_image_labeling_permissions.py", "test_it") is not None
    assert reason("localstack", "test_call_analytics.py", "test_what_is_personal_lies_where[x]") is not None
    assert reason("localstack", "test_call_analytics.py", "test_silence") is None


def test_at_least_these_architectures_run() -> None:
    # Given the table, When it is asked, Then these run on LocalStack
    of_models = {"training-pipeline", "realtime-endpoint"}
    assert {"image-labeling", "document-processing", "call-analytics", "private-network"} | of_models <= set(
        ARCHITECTURES
    )


# --- how a LocalStack is found


class _Answering(BaseHTTPRequestHandler):
    """What a LocalStack says of itself."""

    answers: dict[str, dict[str, Any]]

    def do_GET(self) -> None:
        known = self.path in self.answers
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps(self.answers.get(self.path, {})).encode())

    def log_message(self, *_: Any) -> None:
        """Requests are not logged."""


@pytest.fixture
def users() -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """A server of the user that answers as LocalStack does: its address, and its answers."""
    answers: dict[str, dict[str, Any]] = {"/_localstack/health": {"services": {"s3": "available"}, "version": "4.9.2"}}
    handler = type("Handler", (_Answering,), {"answers": answers})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()


@pytest.mark.parametrize("way", ["AWS_ENDPOINT_URL", "LOCALSTACK_HOST", "EDGE_PORT"])
def test_the_users_own_is_found_as_localstacks_client_does(
    users: tuple[str, dict[str, dict[str, Any]]], way: str
) -> None:
    # Given a LocalStack of the user, named in one of the usual ways
    url, answers = users
    answers["/_mounted"] = {"services": ["rekognition"], "invocations": 0}
    host = url.removeprefix("http://")
    given = {"AWS_ENDPOINT_URL": url, "LOCALSTACK_HOST": host, "EDGE_PORT": host.partition(":")[2]}
    shell = {way: given[way]}
    environment.clean_environment(shell)
    # When it is looked for, Then it is found, with the services that are mounted in it
    found = own(shell)
    assert isinstance(found, localstack.OwnLocalStack)
    assert found.endpoint_url.replace("localhost", "127.0.0.1") == url
    assert found.mounted == {"rekognition"}
    assert "has not this project's application-autoscaling, comprehend, polly, sagemaker, " in str(found.lacks())
    # And nothing of it is stopped or controlled
    found.stop()
    assert found.alive()
    found.control.faults_clear()
    with pytest.raises(ControlError, match="Not on LocalStack"):
        found.control.clock_advance(1)


def test_one_that_is_named_and_silent_is_an_error_with_its_mend() -> None:
    # Given a name of a LocalStack that is not there, When it is looked for, Then that is said, and what to do
    with pytest.raises(CloudError, match=r"does not answer\. Start it, or unset"):
        own({"LOCALSTACK_HOST": "127.0.0.1:9"})


def test_one_on_another_machine_is_declined() -> None:
    # Given a LocalStack elsewhere, When it is looked for, Then nothing leaves this machine
    with pytest.raises(CloudError, match="not on this machine"):
        own({"LOCALSTACK_HOST": "localstack.example:4566"})


@pytest.mark.parametrize(
    "form", ["http://localhost.localstack.cloud:{}/", "http://s3.localhost.localstack.cloud:{}", " {} "]
)
def test_localstacks_name_for_this_machine_is_this_machine(
    users: tuple[str, dict[str, dict[str, Any]]], form: str
) -> None:
    # Given a LocalStack of the user, named as its documentation does, or with a slash or spaces around
    url, _ = users
    port = url.rpartition(":")[2]
    given = form.format(port if "cloud" in form else f"{url}/")
    # When it is looked for, Then it is found here, and no name server is asked
    found = own({environment.REMEMBERED_ENDPOINT: given})
    assert found is not None
    assert found.endpoint_url == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({environment.REMEMBERED_ENDPOINT: "http://[::1"}, "is no address: Invalid IPv6 URL"),
        ({"LOCALSTACK_HOST": "localhost:port"}, "is no address: Port could not be cast"),
        ({environment.REMEMBERED_ENDPOINT: "https://localhost:4566"}, "speaks HTTP at the same port"),
        ({"LOCALSTACK_HOST": "localhost", "USE_SSL": "1"}, "unset USE_SSL"),
        ({environment.REMEMBERED_ENDPOINT: "http://localhost.localstack.cloud.example:4566"}, "not on this machine"),
    ],
)
def test_a_name_that_cannot_be_used_is_one_line(given: dict[str, str], told: str) -> None:
    # Given a name of a LocalStack that is none, or that cannot be checked, When it is looked for, Then a line says so
    with pytest.raises(CloudError) as raised:
        own(given)
    assert told in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_suite_on_a_localstack_that_lacks_the_services_is_counted_and_no_success(
    users: tuple[str, dict[str, dict[str, Any]]],
) -> None:
    # Given a LocalStack of the user without the project's services, When tests are to run on it
    url, _ = users
    command = [sys.executable, "-m", "pytest", "--cloud", "localstack", "tests/scenarios/test_call_analytics.py"]
    shell = {**os.environ, "LOCALSTACK_HOST": url.removeprefix("http://")}
    ran = subprocess.run(
        command, cwd=core.ROOT, env=shell, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    # Then each is told as not run, with a reason, and the whole as no success
    assert ran.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, ran.stdout
    (count,) = re.findall(r"^(\d+) not run on localstack; each with its reason below", ran.stdout, re.MULTILINE)
    assert re.search(rf"^{count} skipped", ran.stdout, re.MULTILINE)
    assert f"not run on localstack: your LocalStack at {url} has not this project's " in ran.stdout


def test_a_suite_without_a_localstack_is_declined_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Given a LocalStack that is named and silent, When the suite is to run on it, Then it does not begin
    monkeypatch.setenv("LOCALSTACK_HOST", "127.0.0.1:9")
    with pytest.raises(pytest.UsageError, match="does not answer"):
        conftest.users_localstack_lacks()
    # Given none, and no core, Then neither
    monkeypatch.delenv("LOCALSTACK_HOST")
    monkeypatch.setattr(localstack, "USUAL_PORT", "9")
    monkeypatch.setenv(core.PLACE, str(tmp_path))
    with pytest.raises(pytest.UsageError, match="make setup-localstack"):
        conftest.users_localstack_lacks()


def test_what_answers_but_is_no_localstack_is_not_taken_for_one(users: tuple[str, dict[str, dict[str, Any]]]) -> None:
    # Given something else at the address, When it is looked for, Then it is not found
    url, answers = users
    answers.clear()
    with pytest.raises(CloudError, match="does not answer"):
        own({"LOCALSTACK_HOST": url.removeprefix("http://")})


def test_without_the_core_the_way_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Given a machine without LocalStack's core, When one is to be started, Then the line says how to install it
    monkeypatch.setenv(core.PLACE, str(tmp_path))
    with pytest.raises(CloudError, match=r"not installed here\. Install it: make setup-localstack"):
        LocalStack.start(f"none-{os.getpid()}")


def test_an_apis_address_is_turned_into_the_one_at_which_localstack_answers() -> None:
    # Given addresses as stacks output them, When they are to be reached, Then they lead to LocalStack's gateway
    here = "http://127.0.0.1:4566"
    assert reachable(here, "https://abc.execute-api.us-east-1.amazonaws.com/prod/reviews?a=b") == (
        f"{here}/_aws/execute-api/abc/prod/reviews?a=b"
    )
    assert reachable(here, "https://example.com/prod") == "https://example.com/prod"


def test_python_takes_the_plug_ins_for_an_installed_package(tmp_path: Path) -> None:
    # Given a folder with the entry points, When Python looks for packages there
    plugins.write_entry_points(tmp_path)
    (found,) = metadata.distributions(path=[str(tmp_path)])
    # Then it finds one with LocalStack's groups, each name with a place in this project
    groups = {one.group for one in found.entry_points}
    assert groups == set(plugins.ENTRY_POINTS)
    assert {"localstack.aws.provider", "localstack.lambda.runtime_executor"} < groups
    for one in found.entry_points:
        assert one.module.startswith("local.localstack.plugins.")
    # And LocalStack is told to take them
    assert plugins.settings()["PROVIDER_OVERRIDE_TRANSCRIBE"] == "mounted"


class _Refusing:
    """A client each of whose calls fails with one code."""

    def __init__(self, code: str) -> None:
        self._code = code

    def get_object(self, **_: Any) -> None:
        raise ClientError({"Error": {"Code": self._code, "Message": "no"}}, "GetObject")


@pytest.mark.parametrize(
    ("code", "told"),
    [("NoSuchKey", "NoSuchKey"), ("404", "NoSuchKey"), ("NoSuchBucket", "NoSuchBucket"), ("503", "AccessDenied")],
)
def test_an_object_that_cannot_be_read_is_told_as_on_the_embedded_cloud(code: str, told: str) -> None:
    # Given a caller whose S3 refuses, When a service reads for it, Then the service learns the same as elsewhere
    caller = LocalStackCaller("key", "000000000000", "us-east-1", lambda *_: _Refusing(code), lambda *_: {})
    with pytest.raises(ObjectUnavailable) as raised:
        caller.read_object("bucket", "key", None)
    assert raised.value.code == told


def test_a_demo_waits_little_where_no_clock_can_be_moved() -> None:
    # Given a demo that moves the clock, When it is for a LocalStack, Then its own stack has shorter waits
    served = catalogue.get("realtime-endpoint")
    assert demo.settings(served) == {}
    assert demo.settings(served, LocalStack)["realtime-endpoint"]["bake_seconds"] < 60


# --- the process that holds the services


TOKEN = "a token"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, dict[str, Any]]]]:
    """Asks a host of the services, with no LocalStack behind it: answers with status and JSON."""
    # One host a process, which a test is not: what it sets for all is as before when the test ends.
    for module, name in ((faults, "_served"), (resource_types, "_cloud"), (SAGEMAKER.endpoints, "is_scaled")):
        monkeypatch.setattr(module, name, getattr(module, name))
    certificate.issue(tmp_path)
    listener = bind(None)
    server = hosting.listen(hosting.Host("http://127.0.0.1:9", TOKEN, os.getpid()), listener, tmp_path)
    Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))

    def ask(method: str, path: str, token: str = TOKEN) -> tuple[int, dict[str, Any]]:
        connection = HTTPSConnection("127.0.0.1", listener.getsockname()[1], context=context, timeout=30)
        caller = {"x-local-access-key": "key", "x-local-account": "000000000000", "x-local-region": "us-east-1"}
        connection.request(method, path, headers={"x-local-token": token, **caller})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    yield ask
    server.shutdown()
    server.server_close()
    faults.clear()


VOICES = "/_local/service/polly/DescribeVoices?path=/v1/voices&query=LanguageCode%3Den-US"


def test_a_mounted_service_answers_what_it_answers_on_the_embedded_cloud(host: Callable[..., Any]) -> None:
    # Given a request as LocalStack hands it on, When it is made, Then the project's own service answers
    status, answer = host("POST", VOICES)
    assert status == 200
    assert "Ivy" in {one["Name"] for one in answer["Voices"]}
    # And one that it does not serve is refused
    status, answer = host("POST", "/_local/service/polly/StopEverything?path=/v1/none&query=")
    assert (status, answer["__type"]) == (400, "UnknownOperationException")


def test_an_invocation_of_an_endpoint_has_a_service_of_its_own(host: Callable[..., Any]) -> None:
    # Given no endpoint, When one is asked, Then SageMaker's runtime says so, by the name in the path
    place = "/_local/service/sagemaker-runtime/InvokeEndpoint?path=/endpoints/an-endpoint/invocations&query="
    status, answer = host("POST", place)
    assert (status, answer["__type"]) == (400, "ValidationError")
    assert "an-endpoint" in answer["Message"]


def test_nobody_without_the_token_is_answered(host: Callable[..., Any]) -> None:
    # Given a wrong token, When a service or the control is asked, Then neither answers
    for method, path in (("POST", VOICES), ("GET", "/_local/calls")):
        assert host(method, path, "another") == (403, {"error": "This wants the local cloud's token."})


@pytest.mark.parametrize("part", [*hosting.REASONS, "anything"])
def test_what_localstack_cannot_do_is_refused_with_its_reason(host: Callable[..., Any], part: str) -> None:
    # Given the control API, When it is asked for what only the embedded cloud has, Then the reason is told
    status, answer = host("GET", f"/_local/{part}")
    assert status == 404
    assert answer["error"].startswith("Not on LocalStack: ")


def test_a_fault_is_met_by_the_next_call_alone(host: Callable[..., Any]) -> None:
    # Given a service that fails once, When it is called twice, Then the first call meets that, and both are counted
    before = faults.calls().get("polly.DescribeVoices", 0)
    faults.add(service="polly", kind="internal", times=1)
    assert host("POST", VOICES)[0] == 500
    assert host("POST", VOICES)[0] == 200
    assert host("GET", "/_local/calls")[1]["calls"]["polly.DescribeVoices"] == before + 2


def test_until_localstack_answers_the_cloud_is_not_healthy(host: Callable[..., Any]) -> None:
    # Given no LocalStack, When the health is asked for, Then it is not there yet
    status, answer = host("GET", "/_local/health")
    assert status == 503
    assert "does not answer" in answer["error"]


# --- on a real core


@pytest.fixture(scope="module")
def stack_cloud() -> Iterator[LocalCloud]:
    """The one LocalStack core of this file."""
    with LocalStack.start(f"localstack-{os.getpid()}") as started:
        yield started


@pytest.mark.soak
def test_a_core_starts_answers_and_is_told_apart(stack_cloud: LocalCloud) -> None:
    # Given a core, When its services are asked, Then LocalStack's own answer, and the project's beside them
    assert stack_cloud.control.health()["versions"] == {"localstack": "4.9.2"}
    assert isinstance(LocalCloud.attach(stack_cloud.name), LocalStack)
    stack_cloud.client("sqs").create_queue(QueueName="one")
    found = stack_cloud.client("rekognition").detect_labels(Image={"Bytes": (PHOTOS / "chelsea.jpg").read_bytes()})
    assert "Cat" in {one["Name"] for one in found["Labels"]}
    # And an error of a service is that service's, through LocalStack
    with pytest.raises(ClientError) as raised:
        stack_cloud.client("rekognition").detect_labels(Image={"S3Object": {"Bucket": "none", "Name": "none"}})
    assert raised.value.response["Error"]["Code"] == "InvalidS3ObjectException"


@pytest.mark.soak
def test_a_fault_of_a_mounted_service_reaches_its_caller_and_others_are_refused(stack_cloud: LocalCloud) -> None:
    # Given a service that is made to throttle
    control = stack_cloud.control
    control.faults_add(service="comprehend", kind="throttle")
    # When it is called, Then the caller sees its error, and the attempts are counted
    with pytest.raises(ClientError) as raised:
        stack_cloud.client("comprehend").detect_dominant_language(Text="Hello there")
    assert raised.value.response["Error"]["Code"] == "ThrottlingException"
    assert control.calls()["comprehend.DetectDominantLanguage"] >= 1
    control.faults_clear()
    # And what LocalStack cannot do is refused with the reason
    with pytest.raises(ControlError, match=r"s3"):
        control.faults_add(service="s3", kind="throttle")
    with pytest.raises(ControlError, match="it has no clock that tests can move"):
        control.clock_advance(1)


@pytest.mark.soak
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_architecture_is_deployed_driven_and_gone(stack_cloud: LocalCloud, architecture: str) -> None:
    # Given an architecture that is deployed to LocalStack from the same template as everywhere
    its = demos.of(architecture)
    needed = with_needs(catalogue.get(architecture))
    assembly = synthesize(architecture, settings=demo.settings(needed[-1], LocalStack))
    for one in needed:
        outputs = deploy(stack_cloud, assembly, one.id)
    # When its scenario is run on the project's samples
    if clouds.where_a_demo_runs("localstack", architecture) is None:
        report = its.run(stack_cloud, outputs, its.sample_files(), lambda _: None)
        # Then every input came to its result
        assert report.complete, report
    else:
        calls = private_network.run(stack_cloud, outputs, its.sample_files()).calls
        # Then what should be allowed was; what should be refused is proven on the local cloud, and is no result here
        allowed = [one for one in calls if one.expected == "allowed"]
        assert allowed
        assert {one.outcome for one in allowed} == {"allowed"}
    # And when it is destroyed, nothing of it is left
    for one in reversed(needed):
        destroy(stack_cloud, one.id)
        assert _left(stack_cloud, one.id) == []


def _left(cloud: LocalCloud, stack: str) -> list[str]:
    """What bears the stack's name still."""
    sagemaker = cloud.client("sagemaker")
    names = [one["Name"] for one in cloud.client("s3").list_buckets()["Buckets"]]
    names += cloud.client("dynamodb").list_tables()["TableNames"]
    names += cloud.client("sqs").list_queues().get("QueueUrls", [])
    names += [one["FunctionName"] for one in cloud.client("lambda").list_functions()["Functions"]]
    names += [one["logGroupName"] for one in cloud.client("logs").describe_log_groups()["logGroups"]]
    names += [one["RoleName"] for one in cloud.client("iam").list_roles()["Roles"]]
    names += [one["Name"] for one in cloud.client("events").list_rules()["Rules"]]
    names += [one["name"] for one in cloud.client("stepfunctions").list_state_machines()["stateMachines"]]
    names += [one["AlarmName"] for one in cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]]
    names += [one["PipelineName"] for one in sagemaker.list_pipelines()["PipelineSummaries"]]
    names += [
        one["ModelPackageGroupName"] for one in sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    ]
    names += [one["EndpointName"] for one in sagemaker.list_endpoints()["Endpoints"]]
    names += [one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]]
    names += [one["ModelName"] for one in sagemaker.list_models()["Models"]]
    return [name for name in names if stack in name]


@pytest.mark.soak
def test_a_core_that_is_up_is_found_as_the_users_own(stack_cloud: LocalCloud) -> None:
    # Given a core that is up, When the environment names it, Then it is used, with its control
    found = own({environment.REMEMBERED_ENDPOINT: stack_cloud.endpoint_url})
    assert found is not None
    assert found.name == stack_cloud.name
    assert found.control.health()["pid"] == stack_cloud.pid
    assert found.client("sts").get_caller_identity()["Account"] == LocalCloud.account


def test_the_name_localstack_stands_for_a_core() -> None:
    # Given names of clouds, When they are to be started, Then one is LocalStack's
    assert localstack.kind("localstack") is LocalStack
    assert localstack.kind("default") is LocalCloud
