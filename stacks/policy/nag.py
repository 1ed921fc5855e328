"""cdk-nag: AwsSolutions for every stack; HIPAA, NIST 800-53 R5 and PCI DSS 3.2.1 for those that are marked sensitive.

The packs run as validation plugins of CDK while it synthesizes. What they find is in `validation-report.json` of the
assembly: `violations`, of which any fails the synthesis, and `suppressedViolations`, each with its acknowledgement.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
import cdk_nag
import jsii
from constructs import IConstruct

from stacks.policy.acknowledgements import ACKNOWLEDGEMENTS, Acknowledgement, Finding, expected

REPORT = "validation-report.json"


class PolicyError(Exception):
    """Synthesis broke a policy. `str()` has one line a finding."""


@jsii.implements(cdk.IPolicyValidationPlugin)
class ScopedPack:
    """A pack of rules, held against some stacks of an app and not against the others."""

    def __init__(self, pack: cdk_nag.NagPack, stacks: Sequence[cdk.Stack]) -> None:
        self._pack = pack
        self._stacks = stacks

    @property
    def name(self) -> str:
        """How the validation report calls it."""
        return self._pack.read_pack_name

    @property
    def version(self) -> str | None:
        """For AWS's usage statistics only."""
        return None

    @property
    def rule_ids(self) -> list[str] | None:
        """For AWS's usage statistics only."""
        return None

    def validate(self, context: cdk.IPolicyValidationContext) -> cdk.PolicyValidationPluginReport:
        """Called by CDK while it synthesizes."""
        violations = [violation for stack in self._stacks for violation in self._pack.validate_scope(stack).violations]
        return cdk.PolicyValidationPluginReport(success=not violations, violations=violations)


def register(app: cdk.App, stacks: Sequence[cdk.Stack], sensitive: Sequence[cdk.Stack]) -> None:
    """Has CDK hold the packs against these stacks when it synthesizes."""
    validations = cdk.Validations.of(app)
    validations.add_plugins(ScopedPack(cdk_nag.AwsSolutionsChecks(app), stacks))
    if sensitive:
        for pack in (cdk_nag.HIPAASecurityChecks, cdk_nag.NIST80053R5Checks, cdk_nag.PCIDSS321Checks):
            validations.add_plugins(ScopedPack(pack(app), sensitive))


def acknowledge(
    app: cdk.App,
    settings: Mapping[str, Mapping[str, Any]],
    table: Sequence[Acknowledgement] = ACKNOWLEDGEMENTS,
) -> None:
    """Applies the acknowledgements of the architectures in `settings` at the constructs that they name.

    Under the qualified id (`AwsSolutions::AwsSolutions-S1`), which leaves it to CDK to suppress the finding and to
    record it in the report. A plain id would hide it before CDK sees it, and then nobody could tell a stale one.
    """
    for (rule, path), reason in expected(settings, table).items():
        if construct := _find(app, path):
            pack = rule.partition("-")[0]
            cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=f"{pack}::{rule}", reason=reason))


def suppressed(assembly: pathlib.Path) -> set[Finding]:
    """The findings that the report of an assembly lists as acknowledged, as (rule, construct path)."""
    reports = json.loads((assembly / REPORT).read_text())["pluginReports"]
    return {
        (violation["ruleName"], construct["constructPath"])
        for report in reports
        for violation in report.get("suppressedViolations", [])
        for construct in violation["violatingConstructs"]
    }


def stale(
    assembly: pathlib.Path,
    settings: Mapping[str, Mapping[str, Any]],
    table: Sequence[Acknowledgement] = ACKNOWLEDGEMENTS,
) -> list[str]:
    """A line for each acknowledgement that found nothing: its construct is gone, or the finding is."""
    found = suppressed(assembly)
    return [
        f"The acknowledgement of {rule} at {path} is stale: there is no such finding any more."
        for rule, path in expected(settings, table)
        if (rule, path) not in found
    ]


def _find(app: cdk.App, path: str) -> IConstruct | None:
    found: IConstruct | None = app
    for part in path.split("/"):
        found = found.node.try_find_child(part) if found else None
    return found
