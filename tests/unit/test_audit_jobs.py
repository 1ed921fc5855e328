"""The rule on jobs: what a job lacks, and what is said of all of them."""

from __future__ import annotations

from typing import Any

import pytest

from lambdas.audit.judge_jobs.jobs import LONGEST, Kind, evaluation, faults

VPC = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
TRAINING = {
    "VpcConfig": VPC,
    "ResourceConfig": {"VolumeKmsKeyId": "key"},
    "OutputDataConfig": {"KmsKeyId": "key"},
}
PROCESSING = {
    "NetworkConfig": {"VpcConfig": VPC},
    "ProcessingResources": {"ClusterConfig": {"VolumeKmsKeyId": "key"}},
    "ProcessingOutputConfig": {"KmsKeyId": "key", "Outputs": [{}]},
}


@pytest.mark.parametrize(
    ("kind", "described", "lacks"),
    [
        ("training", TRAINING, []),
        ("training", {**TRAINING, "VpcConfig": None}, ["VPC"]),
        ("training", {**TRAINING, "ResourceConfig": {}}, ["volume key"]),
        ("training", {**TRAINING, "OutputDataConfig": {"KmsKeyId": ""}}, ["output key"]),
        ("training", {}, ["VPC", "volume key", "output key"]),
        ("processing", PROCESSING, []),
        ("processing", {**PROCESSING, "NetworkConfig": {"EnableNetworkIsolation": True}}, ["VPC"]),
        ("processing", {**PROCESSING, "ProcessingResources": {}}, ["volume key"]),
        ("processing", {**PROCESSING, "ProcessingOutputConfig": {"Outputs": [{}]}}, ["output key"]),
        ("processing", {**PROCESSING, "ProcessingOutputConfig": {}}, []),
    ],
)
def test_a_job_lacks_what_its_description_does_not_have(
    kind: Kind, described: dict[str, Any], lacks: list[str]
) -> None:
    assert faults(kind, described) == lacks


def test_the_verdict_is_on_the_account_and_names_what_is_wrong() -> None:
    assert evaluation("1", 0, {})["ComplianceType"] == "NOT_APPLICABLE"
    assert evaluation("1", 3, {})["ComplianceType"] == "COMPLIANT"
    wrong = evaluation("1", 3, {"one": ["VPC"]})
    assert (wrong["ComplianceType"], wrong["ComplianceResourceId"]) == ("NON_COMPLIANT", "1")
    assert wrong["Annotation"] == "1 of 3 jobs. one: no VPC"


def test_an_annotation_is_as_long_as_config_takes() -> None:
    told = evaluation("1", 99, {f"job-{number:03}": ["VPC", "volume key"] for number in range(99)})["Annotation"]
    assert len(told) == LONGEST
    assert told.startswith("99 of 99 jobs.")
