"""The steps of an endpoint's update, who gets a request, and the program that serves: without a cloud."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.containers import serve
from local.services.sagemaker.capture import Capture, Exchange, Payload
from local.services.sagemaker.deployment import plan
from local.services.sagemaker.fleets import Fleet, NoInstanceError, Route, Traffic, routes
from local.services.sagemaker.hosting import Artefact
from local.services.sagemaker.models import Deployable
from local.services.wire import ServiceError
from tests.local.hosted import SCRIPT
from tests.local.standin import FakeCaller


def policy(kind: str, **more: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": 60, **more}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 30}}


def size(kind: str, value: int) -> dict[str, Any]:
    return {"Type": kind, "Value": value}


# --- Steps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "counts", "steps"),
    [
        (None, [2], [((2,), 0)]),
        (policy("ALL_AT_ONCE"), [2], [((2,), 30)]),
        (policy("CANARY", CanarySize=size("INSTANCE_COUNT", 1)), [4], [((1,), 60), ((4,), 30)]),
        (policy("CANARY", CanarySize=size("CAPACITY_PERCENT", 30)), [4], [((2,), 60), ((4,), 30)]),
        (policy("CANARY", CanarySize=size("CAPACITY_PERCENT", 50)), [1], [((1,), 60), ((1,), 30)]),
        (policy("LINEAR", LinearStepSize=size("CAPACITY_PERCENT", 33)), [3],
         [((1,), 60), ((2,), 60), ((3,), 30)]),
        (policy("LINEAR", LinearStepSize=size("INSTANCE_COUNT", 2)), [5, 4],
         [((2, 2), 60), ((4, 4), 60), ((5, 4), 30)]),
    ],
)  # fmt: skip
def test_traffic_moves_in_the_steps_of_the_policy(
    config: dict[str, Any] | None, counts: list[int], steps: list[tuple[tuple[int, ...], int]]
) -> None:
    # Given a deployment configuration and the new variants' instances, When its plan is made
    found = plan(config, counts).steps

    # Then that many instances take traffic for so many seconds
    assert [(step.active, step.seconds) for step in found] == steps


@pytest.mark.parametrize(
    ("config", "counts", "why"),
    [
        (policy("CANARY"), [2], "needs CanarySize"),
        (policy("CANARY", CanarySize=size("INSTANCE_COUNT", 2)), [3], "at most 50%"),
        (policy("LINEAR", LinearStepSize=size("CAPACITY_PERCENT", 5)), [20], "10% to 50%"),
        ({"RollingUpdatePolicy": {}}, [2], "does not serve rolling updates"),
        ({"BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
            "TerminationWaitInSeconds": 700, "MaximumExecutionTimeoutInSeconds": 600,
        }}, [2], "must be larger than the 700 seconds"),
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(config: dict[str, Any], counts: list[int], why: str) -> None:
    # Given a deployment configuration that AWS refuses, or that is not served, When its plan is made
    with pytest.raises(ServiceError, match=why):
        plan(config, counts)


# --- Traffic ---------------------------------------------------------------------------------------------------------


class Stub:
    """In place of an instance, which nobody asks here."""

    def __init__(self) -> None:
        self.outstanding = 0


def fleet(variant: str, weight: float, count: int, **settings: Any) -> Fleet:
    model = Deployable(Artefact("image"), FakeCaller())
    made = Fleet("shop", "config", {"VariantName": variant, **settings}, model, weight, count)
    made.instances = [Stub() for _ in range(count)]  # type: ignore[misc]  # (nothing but `outstanding` is looked at)
    return made


def asked(traffic: Traffic, times: int, variant: str | None = None) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(times):
        with traffic.taken(variant, ()) as (route, _):
            found[route.fleet.variant] += 1
    return found


def test_sides_share_traffic_by_capacity_and_variants_by_weight() -> None:
    # Given an old side with two variants, three to one, and a quarter of a new side
    traffic = Traffic()
    old = routes([fleet("a", 3, 1), fleet("b", 1, 1)], 0.75)
    new = routes([fleet("c", 1, 4)], 0.25, [1])
    traffic.turn(old + new)

    # When it is asked often, then all get their share
    found = asked(traffic, 4000)
    for name, share in {"a": 0.5625, "b": 0.1875, "c": 0.25}.items():
        assert found[name] / 4000 == pytest.approx(share, abs=0.05)


def test_only_the_canarys_instances_take_part() -> None:
    # Given four new instances of which one is active, When a request is taken, Then it is that one
    traffic = Traffic()
    green = fleet("a", 1, 4)
    traffic.turn(routes([green], 1.0, [1]))
    for _ in range(20):
        with traffic.taken(None, ()) as (_, instance):
            assert instance is green.instances[0]


def test_the_least_busy_instance_is_chosen_where_that_is_the_strategy() -> None:
    # Given three instances, two of which are busy
    traffic = Traffic()
    routing = {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    some = fleet("a", 1, 3, RoutingConfig=routing)
    some.instances[0].outstanding = some.instances[2].outstanding = 1
    traffic.turn(routes([some], 1.0))

    # When requests come, then the idle one gets them
    for _ in range(10):
        with traffic.taken(None, ()) as (_, instance):
            assert instance is some.instances[1]


def test_a_request_is_not_taken_where_it_was_tried() -> None:
    # Given two instances, both tried in vain, When another is wanted, Then there is none
    traffic = Traffic()
    some = fleet("a", 1, 2)
    traffic.turn((Route(some, tuple(some.instances), 1.0),))
    with pytest.raises(NoInstanceError), traffic.taken(None, some.instances):
        pass
    with pytest.raises(NoInstanceError, match="no variant b"), traffic.taken("b", ()):
        pass


def test_an_instance_is_drained_before_it_goes() -> None:
    # Given an instance that is busy with a request, and is to get no more
    traffic = Traffic()
    some = fleet("a", 1, 1)
    traffic.turn(routes([some], 1.0))
    drained = threading.Event()

    def drain() -> None:
        traffic.drain(some.instances, 10)
        drained.set()

    with traffic.taken(None, ()):
        traffic.turn(())
        waiter = threading.Thread(target=drain)
        waiter.start()
        # When it is drained, then that waits for the request's end
        assert not drained.wait(0.1)
    assert drained.wait(5)
    waiter.join()


# --- The serving program ---------------------------------------------------------------------------------------------


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., serve.Model]:
    """Loads a script as the container does."""

    def load(script: str, **environment: str) -> serve.Model:
        (tmp_path / "code").mkdir(exist_ok=True)
        (tmp_path / "code" / "inference.py").write_text(script)
        return serve.load({"SM_MODEL_DIR": str(tmp_path), **environment})

    return load


def test_a_script_gets_text_as_text_and_all_else_as_bytes(loaded: Callable[..., serve.Model]) -> None:
    # Given a script that answers with the type of what it gets
    script = SCRIPT.replace("return data\n", "return type(data).__name__\n")
    model = loaded(script)

    # When it gets CSV and a picture, then it sees a str and bytes, and the accepted type comes back
    assert model.answer(b"1", "text/csv; charset=utf-8", "text/csv") == (b"str", "text/csv")
    assert model.answer(b"1", "image/png", "*/*") == (b"bytes", "application/json")


def test_a_script_may_do_it_all_in_one_function(loaded: Callable[..., serve.Model]) -> None:
    # Given scripts with transform_fn, alone and beside another
    whole = "def model_fn(d):\n    return 'm'\ndef transform_fn(m, data, kind, accept):\n    return m + data, kind\n"
    assert loaded(whole).answer(b"1", "text/csv", "") == (b"m1", "text/csv")

    # When there is another function, then the script is refused, as in AWS's images
    with pytest.raises(serve.ScriptError, match="not both"):
        loaded(f"{whole}def input_fn(d, t):\n    return d\n")


def test_a_script_elsewhere_is_refused(loaded: Callable[..., serve.Model]) -> None:
    # Given a script that lies in S3, or is not there, When it is loaded, Then the answer says so
    with pytest.raises(serve.ScriptError, match="not from s3://"):
        loaded(SCRIPT, SAGEMAKER_SUBMIT_DIRECTORY="s3://bucket/code.tar.gz")
    with pytest.raises(serve.ScriptError, match=r"no script other\.py"):
        loaded(SCRIPT, SAGEMAKER_PROGRAM="other.py")


# --- Captures --------------------------------------------------------------------------------------------------------


def test_what_is_no_text_after_all_is_captured_as_base64() -> None:
    # Given a configuration that takes CSV as text
    caller = FakeCaller()
    config = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://bucket",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }
    capture = Capture(config, "shop", caller, lambda _: None)

    # When a body of that type is none, then it is Base64, and its object lies at the bucket's root
    capture.offer("a", Exchange(Payload(b"\xff", "text/csv"), Payload(b"1", "text/csv; charset=utf-8")))
    capture.flush()
    ((key, body),) = [(where[1], content) for where, content in caller.objects.items()]
    assert key.startswith("shop/a/")
    assert isinstance(body, bytes)
    assert b'"data":"/w==","encoding":"BASE64"' in body
    assert b'"data":"1","encoding":"CSV"' in body
