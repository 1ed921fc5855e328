"""cdk-nag: AwsSolutions for every stack, HIPAA too for those that the catalogue marks sensitive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import aws_cdk as cdk
import cdk_nag
import jsii
from constructs import IConstruct

from stacks.policy.acknowledgements import ACKNOWLEDGEMENTS, Acknowledgement, Finding, sort_out

# Names of the packs in the validation report.
EVERY_STACK = "AwsSolutions"
SENSITIVE_STACKS = "HIPAA.Security"


class PolicyError(Exception):
    """Synthesis broke a policy. `str()` has one line a finding."""


@jsii.implements(cdk.IPolicyValidationPlugin)
class Pack:
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
        """Left to CDK."""
        return None

    @property
    def rule_ids(self) -> list[str] | None:
        """For AWS's usage statistics only."""
        return None

    def violations(self) -> list[cdk.PolicyViolation]:
        """What is not acknowledged at the moment."""
        return [violation for stack in self._stacks for violation in self._pack.validate_scope(stack).violations]

    def findings(self) -> list[Finding]:
        """The same as (rule, construct path)."""
        return [
            (violation.rule_name, resource.construct_path or "")
            for violation in self.violations()
            for resource in violation.violating_resources
        ]

    def validate(self, context: cdk.IPolicyValidationContext) -> cdk.PolicyValidationPluginReport:
        """Called by CDK while it synthesizes; a violation fails the synthesis."""
        violations = self.violations()
        return cdk.PolicyValidationPluginReport(success=not violations, violations=violations)


def packs(app: cdk.App, stacks: Iterable[cdk.Stack], sensitive: Iterable[cdk.Stack]) -> list[Pack]:
    """The packs that an app is held against."""
    found = [Pack(cdk_nag.AwsSolutionsChecks(app), list(stacks))]
    if under_hipaa := list(sensitive):
        found.append(Pack(cdk_nag.HIPAASecurityChecks(app), under_hipaa))
    return found


def register(
    app: cdk.App,
    held_against: Sequence[Pack],
    settings: Mapping[str, Mapping[str, Any]],
    table: Sequence[Acknowledgement] = ACKNOWLEDGEMENTS,
) -> None:
    """Applies the acknowledgements at the constructs that they name, and has CDK validate with the packs.

    `settings` are the values of each architecture that is built, by its id. Raises PolicyError for a stale
    acknowledgement; findings without one come out when the app is synthesized.
    """
    acknowledged, faults = sort_out([finding for pack in held_against for finding in pack.findings()], settings, table)
    if faults:
        raise PolicyError("\n".join(faults))
    for (rule, path), reason in acknowledged.items():
        construct: IConstruct = app
        for part in path.split("/"):
            construct = construct.node.find_child(part)
        cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=rule, reason=reason))
    cdk.Validations.of(app).add_plugins(*held_against)
