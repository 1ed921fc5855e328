"""cfn-lint: the template is one that CloudFormation takes, in every commercial region.

It holds each resource's properties against the schema of its type in CloudFormation's registry, as a change set does,
without an account. Where a region has another schema than us-east-1, the template is held against that one, too. Which
regions lack a type is not said here but in `regions.py`.
"""

from __future__ import annotations

from stacks.policy import registry
from stacks.policy.template import Problem, Template

CHECK = "cfn-lint"

# Rules that are not held against a template, each with its reason.
LEFT_OUT = {
    "W3005": "CDK writes a dependency out even where a reference implies it",
    "E3006": "says that a region lacks a type; one that no region has is told below",
}


def check(template: Template) -> list[Problem]:
    """Every error and warning of cfn-lint. Raises ValueError for a template that is in no file."""
    # Two seconds of schemas, which who checks no template need not load.
    from cfnlint.api import ManualArgs, lint_file

    if template.path is None:
        raise ValueError("cfn-lint reads a file")
    types = {resource["Type"] for _, resource in template.resources()}
    regions = registry.differing_regions({name for name in types if name.startswith("AWS::")})
    matches = lint_file(template.path, ManualArgs(regions=regions, ignore_checks=list(LEFT_OUT)))
    return [
        *(
            Problem(CHECK, template.architecture, f"CloudFormation's registry has no resource type {name}")
            for name in sorted(types)
            if name.startswith("AWS::") and not any(name in registry.types(region) for region in registry.regions())
        ),
        *(
            Problem(CHECK, f"{template.architecture} line {match.linenumber}", f"{match.rule.id} {match.message}")
            for match in matches
        ),
    ]
