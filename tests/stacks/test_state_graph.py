"""State machines are drawn from their definitions: every state, every way on, what is caught and what is retried."""

from __future__ import annotations

import json
from typing import Any

from docs import state_graph

DEFINITION: dict[str, Any] = {
    "StartAt": "Look",
    "States": {
        "Look": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "<Look>"},
            "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 4}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Give up"}],
            "Next": "How many?",
        },
        "How many?": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.pages", "NumericGreaterThan": 1, "Next": "Each"}],
            "Default": "Ask",
        },
        "Each": {
            "Type": "Map",
            "MaxConcurrency": 3,
            "ItemProcessor": {
                "StartAt": "Read",
                "States": {
                    "Read": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::aws-sdk:textract:analyzeDocument",
                        "End": True,
                    }
                },
            },
            "Next": "Done",
        },
        "Ask": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Next": 'Is it "good"?',
        },
        'Is it "good"?': {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input.verdict = 'approved' %}", "Next": "Done"}],
            "Default": "Give up",
        },
        "Done": {"Type": "Succeed"},
        "Give up": {"Type": "Fail"},
    },
}


def template(definition: Any) -> dict[str, Any]:
    """A template with one state machine, whose definition refers to a function and a partition as CDK writes it."""
    before, after = json.dumps(definition).replace("arn:aws:", "arn:PARTITION:", 1).split("PARTITION", 1)
    left, right = after.split("<Look>")
    parts = [before, {"Ref": "AWS::Partition"}, left, {"Fn::GetAtt": ["Look0A1B2C3D", "Arn"]}, right]
    machine = {"DefinitionString": {"Fn::Join": ["", parts]}}
    return {"Resources": {"Flow0A1B2C3D": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine}}}


def test_a_definition_is_read_out_of_the_template() -> None:
    # Given a template whose definition is a join with references, When its machines are read
    machines = state_graph.definitions(template(DEFINITION))
    # Then the definition is whole, with the resource's name where its ARN will be
    assert machines == {"Flow": DEFINITION}


def test_every_state_and_every_way_on_is_drawn() -> None:
    # Given a machine with a choice, a map, a callback and a failure, When it is drawn
    drawn = state_graph.mermaid(DEFINITION)
    lines = [line.strip() for line in drawn.splitlines()]
    # Then it begins where it starts
    assert "begin((start)) --> s_Look" in lines
    # and choices say their conditions, in both languages
    assert 's_How_many_ -->|"pages &gt; 1"| s_Each' in lines
    assert any(line.startswith('s_Is_it__good__ -->|"$states.input.verdict =') for line in lines)
    assert 's_How_many_ -->|"else"| s_Ask' in lines
    # and what is caught is dashed, what is retried is said
    assert 's_Look -.->|"any error"| s_Give_up' in lines
    assert any("Lambda Look" in line and "retried 4 times at most" in line for line in lines)
    # and a map holds its states, a callback says that it waits
    assert any(line.startswith('subgraph s_Each ["Each; for each, 3 at once"]') for line in lines)
    assert any("textract:analyzeDocument" in line for line in lines)
    assert any("sqs:sendMessage, waits for its token" in line for line in lines)
    # and every arrow ends at a box
    boxes = {line.split("[")[0].split("{")[0].split("(")[0].removeprefix("subgraph ").strip() for line in lines}
    targets = {line.rsplit(" ", 1)[1] for line in lines if "-->" in line or "-.->" in line}
    assert targets <= boxes


def test_a_label_can_stand_in_mermaid() -> None:
    # Given names with quotes, When the machine is drawn, Then no label holds one
    for line in state_graph.mermaid(DEFINITION).splitlines():
        assert line.count('"') % 2 == 0
        assert "good" not in line or "'good'" in line or "_good_" in line
