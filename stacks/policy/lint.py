"""cfn-lint: the template is one that CloudFormation takes."""

from __future__ import annotations

from stacks.policy.template import Problem, Template

CHECK = "cfn-lint"

# Rules that are not held against a template, each with its reason.
LEFT_OUT = {"W3005": "CDK writes a dependency out even where a reference implies it"}


def check(template: Template) -> list[Problem]:
    """Every error and warning of cfn-lint. Raises ValueError for a template that is in no file."""
    # Two seconds of schemas, which who checks no template need not load.
    from cfnlint.api import ManualArgs, lint_file

    if template.path is None:
        raise ValueError("cfn-lint reads a file")
    matches = lint_file(template.path, ManualArgs(regions=["us-east-1"], ignore_checks=list(LEFT_OUT)))
    return [
        Problem(CHECK, f"{template.architecture} line {match.linenumber}", f"{match.rule.id} {match.message}")
        for match in matches
    ]
