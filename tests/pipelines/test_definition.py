"""The committed definitions: what the SDK makes, what the service takes, and what is promised of every job."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from pipelines import generate
from pipelines.definition import archive, load
from pipelines.definition.archive import CASES, FOLDER, Case
from pipelines.definition.placeholders import PLACEHOLDERS

ROOT = FOLDER.parent
SDK = ROOT / ".venv" / "sagemaker" / "bin" / "python"
# What AWS's two images bring, beyond Python's own.
BROUGHT = {"numpy", "pandas", "scipy", "sklearn", "xgboost", "matplotlib"}
OPERATIONS = {
    "Processing": ("CreateProcessingJob", "ProcessingJobName"),
    "Training": ("CreateTrainingJob", "TrainingJobName"),
    "RegisterModel": ("CreateModelPackage", None),
}
FILLED = {
    "DataBucket": "data-111122223333",
    "CodeUri": "s3://data-111122223333/code/0123456789abcdef/sourcedir.tar.gz",
    "CodeFile": "sourcedir.tar.gz",
    "KeyArn": "arn:aws:kms:us-east-1:111122223333:key/0a1b2c3d",
    "ProcessingRoleArn": "arn:aws:iam::111122223333:role/processing",
    "TrainingRoleArn": "arn:aws:iam::111122223333:role/training",
    "SklearnImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3",
    "XGBoostImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5",
    "ModelPackageGroupName": "training-pipeline",
    "AWS::Region": "us-east-1",
}


def text(case: Case) -> str:
    """The committed definition."""
    return (FOLDER / case / "definition.json").read_text(encoding="utf-8")


def steps(definition: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All steps, those in the branches of a condition too, in the order of the definition."""
    for step in definition["Steps"]:
        yield step
        for branch in ("IfSteps", "ElseSteps"):
            yield from step["Arguments"].get(branch, [])


def jobs(case: Case, kind: str) -> list[dict[str, Any]]:
    """The requests of all steps of a kind."""
    return [step["Arguments"] for step in steps(json.loads(text(case))) if step["Type"] == kind]


def test_the_definitions_were_made_from_the_pipelines_that_are_here() -> None:
    # Given what the definitions were made from, and they themselves
    # Then nothing of that was changed since (the SDK needs half a minute to build them: endurance does that)
    assert generate.STAMP.read_text(encoding="utf-8").strip() == generate.stamp(), "run `make definitions`"


def test_a_changed_pipeline_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Given the pipelines, copied
    shutil.copytree(FOLDER, tmp_path / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    monkeypatch.setattr(generate, "FOLDER", tmp_path / "pipelines")
    before = generate.stamp()
    changed = "tumors/pipeline.py", "deliveries/definition.json", "definition/steps.py", "../requirements/sagemaker.txt"
    for name in changed:
        # When any file that matters is changed
        file = tmp_path / "pipelines" / name
        held = file.read_bytes()
        file.write_bytes(held + b"\n")
        # Then the stamp is another
        assert generate.stamp() != before, name
        file.write_bytes(held)
    assert generate.stamp() == before == generate.STAMP.read_text(encoding="utf-8").strip()


@pytest.mark.soak
def test_the_definitions_are_what_the_sdk_makes_of_the_pipelines() -> None:
    # Given the SDK in its own environment, without a network
    assert SDK.exists(), "The SageMaker SDK is not installed: run `make setup-sagemaker`."
    # When it builds the definitions
    built = subprocess.run(
        [SDK, "-m", "pipelines.generate", "--print"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    # Then they are the committed ones, to the byte
    made = json.loads(built.stdout)
    assert set(made) == set(CASES)
    for case in CASES:
        assert made[case] == text(case), f"pipelines/{case}/definition.json is old: run `make definitions`."


@pytest.mark.parametrize("case", CASES)
def test_a_definition_reads_like_its_diagram(case: Case) -> None:
    # Then its steps are there in the order in which data flows
    assert [(step["Name"], step["Type"]) for step in steps(json.loads(text(case)))] == [
        ("Prepare", "Processing"),
        ("Train", "Training"),
        ("Evaluate", "Processing"),
        ("IsGoodEnough", "Condition"),
        ("Baseline", "Processing"),
        ("Register", "RegisterModel"),
        ("NotGoodEnough", "Fail"),
    ]


@pytest.mark.parametrize("case", CASES)
def test_all_that_is_left_open_is_listed(case: Case) -> None:
    # Given a definition, then it has the listed placeholders, all of them, and nothing of where it was built
    assert set(re.findall(r"\$\{([\w:]+)\}", text(case))) == set(PLACEHOLDERS) == set(FILLED)
    for trace in ("us-east-1", "0000", "none", str(ROOT), "arn:aws"):
        assert trace not in text(case)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("spot", [True, False])
def test_every_request_is_valid_for_the_real_service(case: Case, spot: bool) -> None:
    # Given a definition as it is deployed, and what the service answers in an execution
    definition = json.loads(re.sub(r"\$\{([\w:]+)\}", lambda found: FILLED[found[1]], load.load(case, spot=spot)))
    model = botocore.session.get_session().get_service_model("sagemaker")
    parameters = {one["Name"]: one["DefaultValue"] for one in definition["Parameters"]}

    # Then AWS's own model of the API takes every request
    asked = []
    for step in steps(definition):
        if step["Type"] not in OPERATIONS:
            continue
        operation, name = OPERATIONS[step["Type"]]
        request = _resolved(step["Arguments"], parameters)
        if name:
            request[name] = "pipelines-abcdefghijkl-step-0123456789"
        shape: Any = model.operation_model(operation).input_shape
        report = ParamValidator().validate(request, shape)
        assert not report.has_errors(), report.generate_report()
        _check_texts(request, shape)
        asked.append(operation)
    assert asked.count("CreateProcessingJob") == 3
    assert {"CreateTrainingJob", "CreateModelPackage"} < set(asked)


@pytest.mark.parametrize("case", CASES)
def test_every_job_is_isolated_and_encrypted(case: Case) -> None:
    # Given the jobs, then none has a network, and volumes, outputs and traffic are encrypted with the stack's key
    for job in jobs(case, "Processing"):
        assert job["NetworkConfig"] == {
            "EnableNetworkIsolation": True,
            "EnableInterContainerTrafficEncryption": True,
        }
        assert job["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == "${KeyArn}"
        assert job["ProcessingOutputConfig"]["KmsKeyId"] == "${KeyArn}"
        assert job["RoleArn"] == "${ProcessingRoleArn}"
    (job,) = jobs(case, "Training")
    assert job["EnableNetworkIsolation"] is True
    assert job["EnableInterContainerTrafficEncryption"] is True
    assert job["ResourceConfig"]["VolumeKmsKeyId"] == job["OutputDataConfig"]["KmsKeyId"] == "${KeyArn}"
    assert job["RoleArn"] == "${TrainingRoleArn}"


@pytest.mark.parametrize("case", CASES)
def test_jobs_are_tried_again_and_taken_from_the_cache_but_not_for_faults_of_ours(case: Case) -> None:
    # Given the steps that run a job
    for step in steps(json.loads(text(case))):
        if step["Type"] not in ("Processing", "Training"):
            continue
        # Then they are cached, and tried again for what is the service's fault
        assert step["CacheConfig"] == {"Enabled": True, "ExpireAfter": "30d"}
        retried = {kind for policy in step["RetryPolicies"] for kind in policy["ExceptionType"]}
        assert retried == {
            "Step.SERVICE_FAULT",
            "Step.THROTTLING",
            "SageMaker.RESOURCE_LIMIT",
            "SageMaker.JOB_INTERNAL_ERROR",
            "SageMaker.CAPACITY_ERROR",
        }
        # And nothing that the cache goes by has the execution's id in it, or nothing would ever be taken
        keys = {"AppSpecification", "AlgorithmSpecification", "Environment", "ProcessingInputs", "HyperParameters"}
        keys |= {"InputDataConfig", "CheckpointConfig"}
        looked_at = json.dumps({key: value for key, value in step["Arguments"].items() if key in keys})
        assert "Execution." not in looked_at


@pytest.mark.parametrize("case", CASES)
def test_no_location_is_the_beginning_of_another(case: Case) -> None:
    # Given all outputs: an input takes all that begins with its location
    outputs = [
        json.dumps(one["S3Output"]["S3Uri"]["Std:Join"]["Values"][2:])
        for job in jobs(case, "Processing")
        for one in job["ProcessingOutputConfig"]["Outputs"]
    ]
    places = ["/".join(json.loads(one)) for one in outputs]
    # Then none takes another's files
    assert not [(one, other) for one in places for other in places if one is not other and other.startswith(one)]


@pytest.mark.parametrize("case", CASES)
def test_a_model_is_registered_if_it_is_better_than_both(case: Case) -> None:
    # Given the condition
    definition = json.loads(text(case))
    condition = next(step["Arguments"] for step in steps(definition) if step["Type"] == "Condition")
    threshold, production = condition["Conditions"]

    def read(name: str) -> dict[str, Any]:
        report = {"Get": "Steps.Evaluate.PropertyFiles.Evaluation"}
        return {"Std:JsonGet": {"PropertyFile": report, "Path": f"selection.{name}"}}

    # Then both must hold: at least the threshold, and above the model in production
    assert threshold == {
        "Type": "GreaterThanOrEqualTo",
        "LeftValue": read("value"),
        "RightValue": {"Get": "Parameters.MetricThreshold"},
    }
    assert production == {"Type": "GreaterThan", "LeftValue": read("value"), "RightValue": read("to_beat")}
    # And a person approves it
    parameters = {one["Name"]: one.get("DefaultValue") for one in definition["Parameters"]}
    assert parameters["ModelApprovalStatus"] == "PendingManualApproval"
    (package,) = jobs(case, "RegisterModel")
    assert package["ModelApprovalStatus"] == {"Get": "Parameters.ModelApprovalStatus"}
    # And it carries its figures, its baseline and its origin
    assert set(package["ModelMetrics"]["ModelDataQuality"]) == {"Statistics", "Constraints"}
    assert package["DriftCheckBaselines"]["ModelDataQuality"] == package["ModelMetrics"]["ModelDataQuality"]
    assert package["MetadataProperties"] == {"GeneratedBy": {"Get": "Execution.PipelineExecutionArn"}}
    assert package["CustomerMetadataProperties"]["DataVersion"] == {"Get": "Parameters.DataVersion"}


def test_without_spot_nothing_of_it_is_left() -> None:
    # Given a definition without spot capacity, then the service's two conditions for it are gone, and the parameter
    definition = load.load("deliveries", spot=False)
    for trace in ("Spot", "MaxWaitTimeInSeconds"):
        assert trace not in definition
        assert trace in load.load("deliveries")


@pytest.mark.parametrize("case", CASES)
def test_the_archive_is_the_same_for_the_same_sources(case: Case) -> None:
    # When the archive is made twice, then it is the same, and its name goes by its content
    first, second = archive.archive_bytes(case), archive.archive_bytes(case)
    assert first == second
    assert hashlib.sha256(first).hexdigest().startswith(archive.archive_digest(case))
    # And it has the scripts at the top, the case's schema, and the archive's word that it is no model
    with tarfile.open(fileobj=io.BytesIO(first)) as unpacked:
        names = unpacked.getnames()
        schema = unpacked.extractfile("schema.json")
        assert schema is not None
        assert schema.read() == (FOLDER / case / "schema.json").read_bytes()
    assert {"prepare.py", "train.py", "evaluate.py", "inference.py", "features.py", "no-model.txt"} < set(names)
    assert "pipelines/monitoring/baseline.py" in names
    assert len(first) < 200_000


def test_the_archives_of_the_cases_differ() -> None:
    # Then a job of one is never taken for a job of the other
    assert archive.archive_digest("deliveries") != archive.archive_digest("tumors")


@pytest.mark.parametrize("script", sorted((FOLDER / "jobs").glob("*.py")), ids=lambda path: path.name)
def test_a_script_needs_nothing_that_an_image_does_not_bring(script: Path) -> None:
    # Given what a script imports
    imported = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.partition(".")[0])
    # Then it is Python's own, an image's, or beside it; and SageMaker's toolkit where a request is answered
    beside = {path.stem for path in (FOLDER / "jobs").glob("*.py")}
    foreign = imported - set(sys.stdlib_module_names) - BROUGHT - beside
    assert foreign == ({"sagemaker_inference"} if script.name == "inference.py" else set())


def _resolved(value: Any, parameters: Mapping[str, Any]) -> Any:
    """A request as it is sent, with made-up answers for what earlier steps would give."""
    if isinstance(value, list):
        return [_resolved(one, parameters) for one in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Get"}:
        head, _, rest = value["Get"].partition(".")
        if head == "Parameters":
            return parameters[rest]
        if rest == "PipelineExecutionArn":
            return "arn:aws:sagemaker:us-east-1:111122223333:pipeline/training-pipeline/execution/abcdefghijkl"
        return "abcdefghijkl" if head == "Execution" or rest.endswith("Name") else "s3://data-111122223333/runs/x/y"
    if set(value) == {"Std:Join"}:
        join = value["Std:Join"]
        return join["On"].join(str(_resolved(one, parameters)) for one in join["Values"])
    return {key: _resolved(one, parameters) for key, one in value.items()}


def _check_texts(value: Any, shape: Any) -> None:
    """What botocore leaves to the service: patterns, and the longest texts and lists."""
    if shape.type_name == "structure":
        for name, one in value.items():
            _check_texts(one, shape.members[name])
    elif shape.type_name == "list":
        assert len(value) <= shape.metadata.get("max", len(value))
        for one in value:
            _check_texts(one, shape.member)
    elif shape.type_name == "map":
        for key, one in value.items():
            _check_texts(key, shape.key)
            _check_texts(one, shape.value)
    elif shape.type_name == "string":
        assert len(value) <= shape.metadata.get("max", len(value)), (shape.name, value)
        assert value in (shape.enum or [value]), (shape.name, value)
        pattern = shape.metadata.get("pattern")
        if pattern:
            # Of the classes that Python does not know, their part in ASCII; and a number of repetitions after an end.
            for unknown, known in ((r"\p{L}", "a-zA-Z"), (r"\p{N}", "0-9"), (r"\p{Z}", " "), (")${", "){")):
                pattern = pattern.replace(unknown, known)
            assert re.fullmatch(pattern, value), (shape.name, pattern, value)
