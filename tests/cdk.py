"""Small things that tests have CDK make. Each in a process of its own, whose Node goes with it."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from app import use_bundled_node

Made = TypeVar("Made")


def apart(make: Callable[..., Made], *arguments: Any) -> Made:
    """What a function of a module returns or raises; it runs in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(make, *arguments).result()


def calls_of_one_voice(folder: Path, settings: Mapping[str, Any], languages: Sequence[str]) -> Path:
    """The assembly of call-analytics for this machine, if Transcribe could not tell speakers apart in some languages.

    `folder` must not exist yet; it is what is returned.
    """
    use_bundled_node()
    import aws_cdk as cdk

    from stacks.language import languages as lists

    # Before what reads it is imported.
    lists.ONE_VOICE = tuple(languages)
    from stacks import synth

    context = {
        **synth.FEATURES,
        "architecture": "call-analytics",
        "target": "local",
        "settings": {"call-analytics": dict(settings)},
    }
    app = cdk.App(context=context, outdir=str(folder), analytics_reporting=False)
    return synth.validated(app, synth.build(app))


def task_response_statements(state_machines: Sequence[str]) -> list[list[dict[str, Any]]]:
    """The statements that `StateMachine.grant_task_response` gives a role, for each of the state machines' ARNs."""
    use_bundled_node()
    import aws_cdk as cdk
    from aws_cdk import assertions
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_stepfunctions as stepfunctions

    stack = cdk.Stack(cdk.App(analytics_reporting=False), "Granting")
    role = iam.Role(stack, "Answering", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    body = stepfunctions.DefinitionBody.from_chainable(stepfunctions.Pass(stack, "Pass"))
    machine = stepfunctions.StateMachine(stack, "Machine", definition_body=body)
    machine.grant_task_response(role)
    template = assertions.Template.from_stack(stack)
    (machine_id,) = template.find_resources("AWS::StepFunctions::StateMachine")
    (policy,) = template.find_resources("AWS::IAM::Policy").values()
    granted = json.dumps(policy["Properties"]["PolicyDocument"]["Statement"])
    reference = json.dumps({"Ref": machine_id})
    assert reference in granted
    # CloudFormation puts the ARN where the template refers to the state machine.
    return [json.loads(granted.replace(reference, json.dumps(arn))) for arn in state_machines]
