"""The CDK app as a command: what it takes, and how it says no."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from local import guard
from local.assembly import synthesize
from stacks import catalogue
from stacks.synth import ALL, ContextError, build, side_by_side

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("context", "complaint"),
    [
        ({"target": "moon"}, "Context target is 'moon': it may be lambda or local."),
        ({"architecture": "image-labelling"}, "Did you mean image-labeling"),
        ({"architecture": "face-search"}, "face-search is planned, not built yet."),
        ({"settings": "{"}, "Context settings is not JSON"),
        ({"settings": "[1]"}, "Context settings must look like"),
        ({"settings": {"image-labeling": 3}}, "Context settings must look like"),
        ({"settings": {"face-search": {}}}, "Context settings names face-search, which is not built here."),
        ({"stack_name": "copy"}, "Context stack_name needs context architecture"),
        (
            {"stack_name": "copy", "architecture": "image-labeling,text-insights"},
            "Context stack_name needs context architecture: one name cannot serve several stacks.",
        ),
        ({"architecture": "image-labeling,face-search"}, "face-search is planned, not built yet."),
        ({"architecture": "image-labeling", "stack_name": "a_copy"}, "Context stack_name must be 40 letters"),
        ({"architecture": "image-labeling", "stack_name": "a" * 41}, "Context stack_name must be 40 letters"),
        ({"architecture": "training-pipeline", "stack_name": "Copy"}, "Context stack_name must be in small letters"),
        ({"architecture": "data-protection", "stack_name": "Copy"}, "Context stack_name must be in small letters"),
        ({"architecture": "model-monitor", "model_monitor": "none"}, "Settings of model-monitor: monitor:"),
        ({"architecture": "image-labeling", "model_monitor": "own"}, "names model-monitor, which is not built here."),
        (
            {"settings": {"image-labeling": {"maximum_labels": 0, "colour": "red"}}},
            "Settings of image-labeling: maximum_labels: Input should be greater than or equal to 1;"
            " colour: Extra inputs are not permitted.",
        ),
        (
            {"settings": {"image-labeling": {"function_timeout_seconds": 10, "batch_size": 20}}},
            "Settings of image-labeling: batch_size:",
        ),
    ],
)
def test_a_wrong_context_value_is_told_in_one_line(context: dict[str, Any], complaint: str) -> None:
    # Given a context value that is wrong
    # When the stacks are built (for this machine: its assets are there whatever else is)
    with pytest.raises(ContextError) as refused:
        build(cdk.App(context={"target": "local", **context}))
    # Then one line says which, and what it may be
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_settings_come_as_text_from_the_cdk_cli_too() -> None:
    # Given settings as `cdk synth -c settings=...` hands them over
    settings = '{"image-labeling": {"maximum_labels": 5}}'
    context = {"architecture": "image-labeling", "target": "local", "settings": settings, "stack_name": "copy"}
    # When the stack is built
    (built,) = build(cdk.App(context=context))
    # Then they count, and the copy has its own CloudFormation name
    assert built.settings.model_dump()["maximum_labels"] == 5
    assert built.stack.stack_name == "copy"
    assert built.stack.node.id == "image-labeling"


def test_an_architecture_brings_those_that_it_needs_and_a_copy_is_of_itself_alone() -> None:
    # Given an architecture that needs two, one of which needs the other
    context = {"architecture": "model-monitor", "target": "local", "stack_name": "copy", "model_monitor": "managed"}
    # When it is built as a copy
    built = build(cdk.App(context=context))
    # Then the needed ones stand before it, under their own names, and each depends on what it needs
    assert [one.stack.stack_name for one in built] == ["training-pipeline", "realtime-endpoint", "copy"]
    assert [[needed.stack_name for needed in one.stack.dependencies] for one in built] == [
        [],
        ["training-pipeline"],
        ["training-pipeline", "realtime-endpoint"],
    ]
    # And the short way to the managed variant is that setting
    assert built[-1].settings.model_dump()["monitor"] == "managed"


def test_stacks_that_are_deployed_side_by_side_have_what_the_others_import() -> None:
    # Given the context with which the CDK command line runs the app
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    assert context == {"architecture": ALL}

    # When all are built, Then the network has its own door and those of the Studio that stands in it
    doors = ["comprehend", "sagemaker.api", "sagemaker.runtime"]
    others: dict[str, dict[str, Any]] = {
        "image-labeling": {"batch_size": 2},
        "private-network": {"foreign_bucket": "theirs"},
    }
    assert side_by_side(catalogue.available(), others) == {
        "image-labeling": {"batch_size": 2},
        "private-network": {"endpoints": doors, "foreign_bucket": "theirs"},
    }
    # And what the user says of them counts
    chosen: dict[str, dict[str, Any]] = {"private-network": {"endpoints": ["rekognition"]}}
    assert side_by_side(catalogue.available(), chosen) == chosen


def test_the_target_may_be_told_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a shell that says for where functions are to be built
    monkeypatch.setenv("CDK_TARGET", "moon")
    # When the app is built, Then it is asked where the context says nothing
    with pytest.raises(ContextError, match="Context target is 'moon'"):
        build(cdk.App())


def test_a_template_is_the_same_whoever_needs_it(assemblies: dict[str, Path]) -> None:
    # Given a stack alone, and the same beside those that import from it
    def template(assembly: Path, of: str) -> dict[str, Any]:
        return dict(json.loads((assembly / f"{of}.template.json").read_text(encoding="utf-8")))

    alone = template(synthesize("training-pipeline"), "training-pipeline")
    # Then its template does not change, so that it can be updated with and without them
    assert alone == template(assemblies["local"], "training-pipeline")
    # And what it is imported by is a parameter, so that copies can stand side by side
    parameters = template(assemblies["local"], "model-monitor")["Parameters"]
    assert parameters["TrainingPipelineStack"]["Default"] == "training-pipeline"
    assert parameters["RealtimeEndpointStack"]["Default"] == "realtime-endpoint"


def test_the_command_ends_with_one_line_and_the_exit_code_for_a_users_mistake(tmp_path: Path) -> None:
    # Given a setting out of bounds
    context = {"target": "local", "settings": {"image-labeling": {"minimum_confidence": 101}}}
    # When the app runs as the CDK CLI runs it, with nothing else in its environment but the guard
    ran = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**guard.environment(), "CDK_OUTDIR": str(tmp_path / "out"), "CDK_CONTEXT_JSON": json.dumps(context)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # Then it says so in one line, and nothing else
    assert ran.returncode == 2
    assert ran.stderr == (
        "Settings of image-labeling: minimum_confidence: Input should be less than or equal to 100.\n"
    )
    assert ran.stdout == ""


def test_the_cdk_cli_and_the_library_are_pinned_and_keep_quiet() -> None:
    # Given the files that the CDK CLI reads
    settings = json.loads((ROOT / "cdk.json").read_text())
    package = json.loads((ROOT / "package.json").read_text())
    lock = json.loads((ROOT / "package-lock.json").read_text())
    # Then it runs this app, asks before it widens a permission, and phones nobody
    assert settings["app"] == ".venv/bin/python app.py"
    assert settings["requireApproval"] == "broadening"
    assert (settings["notices"], settings["telemetry"], settings["versionReporting"]) == (False, False, False)
    # And the one version that is known to read our assembly is installed, by its hash, from wherever the user installs
    locked = lock["packages"]["node_modules/aws-cdk"]
    assert package["dependencies"] == {"aws-cdk": locked["version"]}
    assert locked["integrity"].startswith("sha512-")
    assert "resolved" not in json.dumps(lock)
