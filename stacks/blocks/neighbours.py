"""Values that one stack gives to others: exports, and the stacks that they are imported from.

By CloudFormation's own exports, under names that begin with the exporting stack's, and with that stack's name as a
parameter of the importing one. CDK's references between stacks would write the names of both into both templates: a
stack would then look different with and without its neighbours, and no copy of the two could stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from constructs import Construct

from stacks.catalogue import parameter_name


def export(scope: Construct, values: Mapping[str, str]) -> None:
    """Outputs that other stacks may import, by these names."""
    for name, value in values.items():
        cdk.CfnOutput(scope, name, value=value, export_name=f"{cdk.Aws.STACK_NAME}-{name}")


class Neighbour:
    """A deployed stack that exports what this one uses.

    Its CloudFormation name is a parameter of the template (`RealtimeEndpointStack`), which by default is the
    architecture's id. CloudFormation deletes no stack from which another imports.
    """

    def __init__(self, scope: Construct, architecture: str) -> None:
        self._name = cdk.CfnParameter(
            scope,
            parameter_name(architecture),
            type="String",
            default=architecture,
            allowed_pattern="[a-z][a-z0-9-]{0,39}",
            description=f"Name of the {architecture} stack that this one belongs to",
        ).value_as_string

    @property
    def stack_name(self) -> str:
        """The neighbour's CloudFormation name, after which its SageMaker resources are called."""
        return self._name

    def value(self, name: str) -> str:
        """What the neighbour exports under this name."""
        return cdk.Fn.import_value(f"{self._name}-{name}")
