"""cdk-nag and CDK's own validation: both run, both are clean, both bite."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local import guard
from stacks import catalogue
from stacks.operate import self_destruct
from stacks.policy import acknowledgements
from stacks.policy.acknowledgements import ACKNOWLEDGEMENTS, expected
from stacks.policy.compliance import PACKS
from stacks.policy.nag import suppressed
from tests.stacks.conftest import OWN_KEY, SELF_DESTRUCT

ROOT = Path(__file__).resolve().parents[2]


def _default_settings(architecture: catalogue.Architecture) -> dict[str, Any]:
    assert architecture.stack
    module, _, name = architecture.stack.partition(":")
    settings: dict[str, Any] = getattr(importlib.import_module(module), name).Settings().model_dump()
    return settings


DEFAULTS = {
    architecture.id: _default_settings(architecture) for architecture in catalogue.ARCHITECTURES if architecture.stack
}

# Resources that a stack makes without a construct of CDK above them.
WITHOUT_CONSTRUCT = {"Tell", "Workflow", "LinkKey", "Start", "Deployment"}

# Runs the app with something planted in it. Synthesis raises on a finding, so that it must be a process of its own.
PLANT = """
import dataclasses, sys
import app
app.use_bundled_node()
import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from stacks import synth
from stacks.policy.acknowledgements import ACKNOWLEDGEMENTS, Acknowledgement
from stacks.operate.self_destruct import SelfDestructSettings, acknowledgements
from stacks.policy.nag import PolicyError

def violations(cdk_app, built):
    s3.CfnBucket(built[0].stack, "Planted")
    queue = sqs.CfnQueue(built[0].stack, "Misspelt")
    queue.add_property_override("VisibilityTimout", 30)
    sensitive = dataclasses.replace(built[0].architecture, sensitive=True)
    return [dataclasses.replace(built[0], architecture=sensitive)], ACKNOWLEDGEMENTS

def stale(cdk_app, built):
    return built, (
        *ACKNOWLEDGEMENTS,
        Acknowledgement("image-labeling", "AwsSolutions-S10", "It is not so.", ("Images/Resource",)),
        Acknowledgement("image-labeling", "AwsSolutions-S1", "It is gone.", ("OldImages/Resource",)),
        Acknowledgement("not-built", "AwsSolutions-S1", "Another architecture.", ("Images/Resource",)),
    )

cdk_app = cdk.App(context=synth.FEATURES, analytics_reporting=False)
built, table = locals()[sys.argv[1]](cdk_app, synth.build(cdk_app))
try:
    synth.validated(cdk_app, built, table)
except PolicyError as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True)
class Planted:
    """How a planted synthesis ended, and its validation report by plug-in."""

    code: int
    said: str
    reports: dict[str, dict[str, Any]]


def synthesize_with(what: str, folder: Path) -> Planted:
    context = {"architecture": "image-labeling", "target": "lambda"}
    ran = subprocess.run(
        [sys.executable, "-c", PLANT, what],
        cwd=ROOT,
        env={
            **guard.environment(),
            "CDK_OUTDIR": str(folder),
            "CDK_CONTEXT_JSON": json.dumps(context),
            "PATH": "/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    reports = json.loads((folder / "validation-report.json").read_text())["pluginReports"]
    return Planted(ran.returncode, ran.stderr, {report["pluginName"]: report for report in reports})


def violated(report: dict[str, Any]) -> set[tuple[str, str]]:
    """(rule, construct) of what a report refuses."""
    return {
        (violation["ruleName"], construct["constructPath"])
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    }


@pytest.mark.parametrize("variant", ["aws", "own key", "local"])
def test_nag_ran_and_found_nothing_that_is_not_acknowledged(assemblies: dict[str, Path], variant: str) -> None:
    # Given the report of a synthesis
    reports = json.loads((assemblies[variant] / "validation-report.json").read_text())["pluginReports"]
    by_name = {report["pluginName"]: report for report in reports}
    # Then the pack is in it (a pack that did not run has no findings either)
    assert "AwsSolutions" in by_name
    chosen = DEFAULTS if variant != "own key" else {name: DEFAULTS[name] | OWN_KEY[name] for name in OWN_KEY}
    if any(catalogue.get(name).sensitive for name in chosen):
        assert set(PACKS) <= set(by_name)
    # And no report has a violation left
    for report in reports:
        assert report["conclusion"] == "success"
        assert violated(report) == set()
    # And what was acknowledged is what the table says, no more and no less
    told = set(expected(chosen))
    if variant == "own key":
        # The stack that removes others has a table of its own.
        settings = self_destruct.SelfDestructSettings.model_validate(SELF_DESTRUCT)
        table = self_destruct.acknowledgements(settings, "self-destruct-text-insights")
        told |= set(expected({"self-destruct": settings.model_dump()}, table))
    assert suppressed(assemblies[variant]) == told


def test_every_reason_is_told_once() -> None:
    # Given the table
    reasons = [entry.reason for entry in ACKNOWLEDGEMENTS]
    # Then each entry says why
    assert all(len(reason.split()) >= 8 for reason in reasons)
    # and the table's source says each reason once, however many constructs and rules it is applied to
    literals = [
        node.value
        for node in ast.walk(ast.parse(inspect.getsource(acknowledgements)))
        if isinstance(node, ast.Constant) and node.value in set(reasons)
    ]
    assert len(literals) == len(set(literals))
    assert set(literals) == set(reasons)
    # And names the resource itself, not the construct or the stack above it
    named = [construct for entry in ACKNOWLEDGEMENTS for construct in (*entry.constructs, *entry.optional)]
    assert {construct for construct in named if not construct.endswith("/Resource")} <= WITHOUT_CONSTRUCT


def test_findings_fail_the_synthesis(tmp_path: Path) -> None:
    # Given an open bucket and a misspelt property, in a stack that counts as sensitive
    # When the app is synthesized
    planted = synthesize_with("violations", tmp_path)
    # Then it fails with a line to the point, and no traceback
    assert planted.code == 1
    assert "The stacks break a policy: mend or acknowledge each finding that CDK printed." in planted.said.splitlines()
    assert "Traceback" not in planted.said
    # And each of the three validations names what it found, at the planted constructs
    assert ("AwsSolutions-S10", "image-labeling/Planted") in violated(planted.reports["AwsSolutions"])
    assert ("HIPAA.Security-S3BucketVersioningEnabled", "image-labeling/Planted") in violated(
        planted.reports["HIPAA.Security"]
    )
    (schema,) = set(planted.reports) - set(PACKS)
    assert "VisibilityTimout" in json.dumps(planted.reports[schema]["violations"])


def test_a_stale_acknowledgement_fails_the_synthesis(tmp_path: Path) -> None:
    # Given an acknowledgement of a finding that is not there, and one of a construct that is not there
    # When the app is synthesized
    planted = synthesize_with("stale", tmp_path)
    # Then it fails on these two, and on no other
    assert planted.code == 1
    assert planted.said.splitlines() == [
        "The acknowledgement of AwsSolutions-S10 at image-labeling/Images/Resource is stale:"
        " there is no such finding any more.",
        "The acknowledgement of AwsSolutions-S1 at image-labeling/OldImages/Resource is stale:"
        " there is no such finding any more.",
    ]
