"""The life of a local cloud: how it starts, what it lets in, and that it surely ends."""

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import boto3
import psutil
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, SSLError

from local import cloud as clouds
from local.cloud import CloudError, LocalCloud
from local.control import Control, ControlError
from local.environment import child_environment, clean_environment
from tests.local.emulated import client_as, eventually, make_function, make_role, unique

SLEEPER = (
    "import pathlib, time\n"
    "def handler(event, context):\n"
    "    pathlib.Path(event['marker']).touch() if 'marker' in event else None\n"
    "    time.sleep(60)\n"
)


# Every cloud of this module is named after it, so that it can clean up after itself.
MINE = f"life-{os.getpid()}"


@pytest.fixture(autouse=True)
def _leaves_nothing() -> Iterator[None]:
    """What a failed test left is ended; the logs of clouds that died are of no use once their test is over."""
    yield
    for folder in clouds.STATE.glob(f"{MINE}-*"):
        if left := LocalCloud.attach(folder.name):
            left.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own() -> Iterator[LocalCloud]:
    """A cloud that the test may end."""
    with LocalCloud.start(unique(MINE)) as started:
        yield started


def group_of(cloud: LocalCloud) -> list[psutil.Process]:
    """Every live process of a cloud's group."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == cloud.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def start_sleeper(cloud: LocalCloud) -> None:
    """Have a Lambda worker hang in its handler; returns once it does."""
    name, marker = make_function(cloud, SLEEPER, make_role(cloud), Timeout=120), cloud.folder / "tmp" / "asleep"
    payload = json.dumps({"marker": str(marker)}).encode()
    cloud.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=payload)
    eventually(marker.exists)
    assert len(group_of(cloud)) > 1


def test_a_started_cloud_answers_over_verified_tls(own: LocalCloud) -> None:
    # Given a started cloud, When its health is asked for
    health = own.control.health()
    # Then its own process answers, and a client that trusts other authorities is refused
    assert health["pid"] == own.pid
    assert health["rss"] > 0
    once = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    stranger = boto3.client("s3", endpoint_url=own.endpoint_url, region_name="us-east-1", config=once)
    with pytest.raises(SSLError):
        stranger.list_buckets()


def test_two_clouds_live_side_by_side(own: LocalCloud) -> None:
    # Given two clouds
    with LocalCloud.start(unique(MINE)) as other:
        # When a bucket is created on one
        own.client("s3").create_bucket(Bucket="only-here")
        # Then the other does not have it, and each trusts only its own authority
        assert [bucket["Name"] for bucket in own.client("s3").list_buckets()["Buckets"]] == ["only-here"]
        assert other.client("s3").list_buckets()["Buckets"] == []
        with pytest.raises(ssl.SSLError):
            Control(other.port, "token", own.ca_bundle).health()


def test_it_listens_on_loopback_only(own: LocalCloud) -> None:
    # Given a cloud that served several services
    for service, operation in (("s3", "list_buckets"), ("sqs", "list_queues"), ("lambda", "list_functions")):
        getattr(own.client(service), operation)()
    # When its listening sockets are looked at
    listening = [
        item.laddr
        for process in group_of(own)
        for item in process.net_connections()
        if item.status == psutil.CONN_LISTEN
    ]
    # Then there is one, on 127.0.0.1
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", own.port)]


def test_a_taken_port_is_one_clear_line() -> None:
    # Given a port that somebody listens on
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # When a cloud is started on it, Then one line names the port
        with pytest.raises(
            CloudError, match=rf"^Port {port} cannot be used \(Address already in use\)\. Name another.*$"
        ) as raised:
            LocalCloud.start(unique(MINE), port)
    assert "\n" not in str(raised.value)


def test_a_name_in_use_is_one_clear_line(own: LocalCloud) -> None:
    # Given a running cloud, When another of its name is started, Then one line says where the first one is
    with pytest.raises(CloudError, match=rf"already running at {own.endpoint_url}"):
        LocalCloud.start(own.name)
    assert own.alive()


def test_a_bad_name_is_refused_before_anything_is_made() -> None:
    # Given a name that would leave the state folder, When a cloud is started under it, Then it is refused
    with pytest.raises(CloudError, match="small letters"):
        LocalCloud.start("../elsewhere")


def test_an_emulator_that_cannot_start_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an interpreter that dies at once
    monkeypatch.setattr(sys, "executable", "/bin/false")
    # When a cloud is started, Then one line says where to go on, and no state is left
    name = unique(MINE)
    with pytest.raises(CloudError, match=r"did not start: it said nothing.*doctor"):
        LocalCloud.start(name)
    assert not (clouds.STATE / name / "cloud.json").exists()


def test_a_dead_emulator_is_one_clear_line(own: LocalCloud) -> None:
    # Given a client of a cloud whose emulator was killed
    s3 = own.client("s3")
    os.kill(own.pid, signal.SIGKILL)
    # When the client calls, Then one line says so and how to go on, in good time
    started = time.monotonic()
    with pytest.raises(CloudError, match=r"has stopped\. Start it again\.$"):
        s3.list_buckets()
    assert time.monotonic() - started < 5
    assert not own.alive()


def test_stopping_ends_hanging_workers_too() -> None:
    # Given a cloud with a Lambda worker that hangs in its handler
    cloud = LocalCloud.start(unique(MINE))
    start_sleeper(cloud)
    # When it is stopped
    started = time.monotonic()
    cloud.stop()
    # Then all of its processes are gone at once, and so is its state
    assert time.monotonic() - started < 3
    assert group_of(cloud) == []
    assert not cloud.folder.exists()
    cloud.stop()


def test_a_terminated_emulator_ends_although_a_custom_resource_hangs(own: LocalCloud) -> None:
    # Given a stack that waits for a custom resource whose function hangs
    name = make_function(own, SLEEPER, make_role(own), Timeout=120)
    arn = own.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    template = {"Resources": {"Hanging": {"Type": "Custom::Hanging", "Properties": {"ServiceToken": arn}}}}
    own.client("cloudformation").create_stack(StackName="hanging", TemplateBody=json.dumps(template))
    eventually(lambda: len(group_of(own)) > 1)
    # When the emulator gets a SIGTERM
    os.kill(own.pid, signal.SIGTERM)
    # Then it and its worker end
    eventually(lambda: group_of(own) == [], seconds=5)
    # A leader is a zombie, and not yet to be waited for, while one of its threads is still ending.
    eventually(lambda: not own.alive(), seconds=5)


@pytest.mark.parametrize("detached", [False, True])
def test_only_a_detached_cloud_outlives_a_killed_parent(detached: bool) -> None:
    # Given a cloud with a hanging worker, started by another process
    name = unique(MINE)
    program = (
        "import sys, time\n"
        "from tests.local.test_cloud import start_sleeper\n"
        "from local.cloud import LocalCloud\n"
        f"start_sleeper(LocalCloud.start({name!r}, detached={detached}))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=clouds.ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        cloud = LocalCloud.attach(name)
        assert cloud is not None
        # When that process is killed
        parent.kill()
        parent.wait()
    # Then the cloud dies with it, workers included, unless it was detached
    try:
        if detached:
            time.sleep(0.5)
            assert len(group_of(cloud)) > 1
            assert LocalCloud.attach(name) is not None
        else:
            eventually(lambda: group_of(cloud) == [], seconds=5)
            assert LocalCloud.attach(name) is None
    finally:
        cloud.stop()
    assert group_of(cloud) == []


def test_a_stale_state_file_is_cleaned_and_harms_nobody() -> None:
    # Given the state of a dead cloud, whose process number now belongs to somebody else
    with LocalCloud.start(unique(MINE)) as cloud:
        state = json.loads((cloud.folder / "cloud.json").read_text())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as innocent:
        cloud.folder.mkdir(exist_ok=True)
        (cloud.folder / "cloud.json").write_text(json.dumps(state | {"pid": innocent.pid}))
        # When the cloud is looked for
        found = LocalCloud.attach(cloud.name)
        # Then there is none, its state is gone, and the innocent process lives
        assert found is None
        assert not (cloud.folder / "cloud.json").exists()
        assert innocent.poll() is None
        innocent.communicate(b"\n")
        assert innocent.returncode == 0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"port": 1}', "null"])
def test_an_unreadable_state_file_counts_as_no_cloud(content: str) -> None:
    # Given a state file that holds rubbish
    folder = clouds.STATE / unique(MINE)
    folder.mkdir(parents=True)
    (folder / "cloud.json").write_text(content)
    # When the cloud is looked for, Then there is none; and one of that name can be started
    assert LocalCloud.attach(folder.name) is None
    with LocalCloud.start(folder.name) as cloud:
        assert cloud.alive()


def test_a_worker_left_by_a_killed_detached_emulator_is_ended() -> None:
    # Given a detached cloud whose emulator was killed while a worker hung
    cloud = LocalCloud.start(unique(MINE), detached=True)
    start_sleeper(cloud)
    os.kill(cloud.pid, signal.SIGKILL)
    eventually(lambda: not cloud.alive())
    left = group_of(cloud)
    assert left
    # When the cloud is looked for from elsewhere
    assert LocalCloud.attach(cloud.name) is None
    # Then the worker is gone too
    eventually(lambda: group_of(cloud) == [])
    cloud.stop()


def test_the_control_api_wants_the_token(own: LocalCloud) -> None:
    # Given a caller without the token, When it asks, Then it is refused and nothing is said
    for control in (Control(own.port, "", own.ca_bundle), Control(own.port, "guess", own.ca_bundle)):
        with pytest.raises(ControlError, match="wants the local cloud's token"):
            control.decisions()
    assert (own.folder / "cloud.json").stat().st_mode & 0o077 == 0
    assert own.control.decisions() == []


@pytest.mark.parametrize("path", ["/_ministack/reset", "/_ministack/config"])
def test_the_emulators_back_doors_are_closed(own: LocalCloud, path: str) -> None:
    # Given the emulator's own unauthenticated admin paths, When one is called, Then it is refused
    context = ssl.create_default_context(cafile=str(own.ca_bundle))
    request = urllib.request.Request(own.endpoint_url + path, data=b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, context=context)
    assert raised.value.code == 403
    raised.value.close()


def test_a_senseless_control_request_says_why(own: LocalCloud) -> None:
    # Given requests that make no sense, When they are sent, Then each is refused with its reason
    with pytest.raises(ControlError, match="No such kind of fault"):
        own.control.faults_add(service="s3", kind="explode")
    with pytest.raises(ControlError, match="unexpected keyword"):
        own.control.faults_add(service="s3", kindd="slow")
    with pytest.raises(ControlError, match="forward only"):
        own.control.clock_advance(-1)
    with pytest.raises(ControlError, match="KeyError"):
        own.control.faults_clear("no-such-rule")


def test_the_users_environment_does_not_leak_in(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a shell with real-looking AWS settings and settings of emulators
    hostile = {
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": "https://example.com",
        "AWS_REGION": "eu-north-1",
        "CDK_DEFAULT_ACCOUNT": "123456789012",
        "SERVICES": "s3",
        "LAMBDA_EXECUTOR": "docker",
        "MINISTACK_REGION": "eu-north-1",
        "PERSIST_STATE": "1",
        "HTTPS_PROXY": "http://192.0.2.1:3128",
        "SOMETHING_SECRET": "hunter2",
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    # When a cloud is started and a handler prints its environment
    source = "import os\ndef handler(event, context):\n    return dict(os.environ)\n"
    with LocalCloud.start(unique(MINE)) as cloud:
        name = make_function(cloud, source, make_role(cloud))
        seen = json.loads(cloud.client("lambda").invoke(FunctionName=name)["Payload"].read())
        environment = cloud.environment()
    # Then nothing of it is in the handler, nor in what subprocesses get
    assert seen["AWS_REGION"] == LocalCloud.region
    assert seen["AWS_ENDPOINT_URL"] == cloud.endpoint_url
    assert seen["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    leaked = {name for name, value in hostile.items() if value in (seen.get(name), environment.get(name))}
    assert leaked == set()
    assert environment["AWS_ENDPOINT_URL"] == cloud.endpoint_url
    # And cleaning this process leaves no AWS setting but those that point at nothing
    scrubbed = dict(hostile)
    clean_environment(scrubbed)
    assert "AWS_PROFILE" not in scrubbed
    assert "HTTPS_PROXY" not in scrubbed
    assert scrubbed["AWS_CONFIG_FILE"] == os.devnull


def test_node_handlers_find_the_projects_node() -> None:
    # Given the environment of a child, When node is asked for its version, Then the wheel's answers
    environment = child_environment()
    found = subprocess.run(
        ["node", "--version"], env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    assert found.stdout.startswith("v24.")


def tls_only_bucket(cloud: LocalCloud) -> str:
    """A bucket that refuses plain HTTP."""
    bucket = unique("bucket")
    cloud.client("s3").create_bucket(Bucket=bucket)
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    cloud.client("s3").put_bucket_policy(Bucket=bucket, Policy=document)
    return bucket


def test_plain_http_is_refused_by_the_port_and_by_a_tls_only_bucket(cloud: LocalCloud) -> None:
    # Given a TLS-only bucket and a role that may write to it
    bucket = tls_only_bucket(cloud)
    role = make_role(cloud, {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"})
    s3 = client_as(cloud, role, "s3")
    s3.put_object(Bucket=bucket, Key="by-tls", Body=b"x")
    # When the port is called by plain HTTP, Then it does not answer
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=5) as plain:
        plain.sendall(f"GET /{bucket} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        with contextlib.suppress(ConnectionResetError):
            assert plain.recv(100) == b""
    # When a request says that it came by plain HTTP (a proxy ended the TLS), Then the bucket's policy denies it
    s3.meta.events.register("before-sign", lambda request, **_: request.headers.add_header("x-forwarded-proto", "http"))
    with pytest.raises(ClientError) as raised:
        s3.put_object(Bucket=bucket, Key="by-plain", Body=b"x")
    assert raised.value.response["Error"]["Code"] == "AccessDenied"
    denied = [item for item in cloud.control.decisions() if item["resource"].endswith(f"{bucket}/by-plain")]
    assert [(item["allowed"], item["statement"]["policy"]) for item in denied] == [
        (False, f"arn:aws:s3:::{bucket}/by-plain")
    ]


def test_state_folders_hold_nothing_that_others_may_read(own: LocalCloud) -> None:
    # Given a running cloud, When its folder is looked at
    files = [path for path in own.folder.iterdir() if path.is_file()]
    # Then only the owner may enter, and no authority's key is in it
    assert own.folder.stat().st_mode & 0o077 == 0
    keys = [path.name for path in files if b"PRIVATE KEY" in path.read_bytes()]
    assert keys == ["server.key"]
