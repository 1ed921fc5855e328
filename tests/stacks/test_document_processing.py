"""The stack of document-processing: what would lose a document, leak one, or trust too much if it were otherwise."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import jsonata
import pytest
from aws_cdk import assertions
from pydantic import ValidationError

from docs.state_graph import definitions
from stacks.documents.document_processing import DocumentProcessing, DocumentProcessingSettings
from stacks.documents.workflow import LASTING
from stacks.policy import availability, leftovers, services, wildcards
from stacks.policy.template import Template, read, statements, text

PAGE = Path(__file__).resolve().parents[2] / "docs" / "architectures" / "document-processing.md"

A2I = {
    "human_review": "augmented-ai",
    "flow_definition_arn": "arn:aws:sagemaker:us-east-1:123456789012:flow-definition/forms",
    "human_loop_output": "answers/loops/",
}


def made(**settings: Any) -> Template:
    """The template with these settings, as for this machine."""
    chosen = DocumentProcessingSettings(**settings)
    stack = DocumentProcessing(cdk.App(), "document-processing", settings=chosen, target="local")
    return Template("document-processing", dict(assertions.Template.from_stack(stack).to_json()))


@pytest.fixture(scope="module")
def default(assemblies: dict[str, Path]) -> Template:
    return next(one for one in read(assemblies["aws"]) if one.architecture == "document-processing")


def states_of(template: Template) -> dict[str, Any]:
    """Every state by name, those of the Map too."""
    (machine,) = definitions(template.body).values()
    found = dict(machine["States"])
    for state in machine["States"].values():
        found |= state.get("ItemProcessor", {}).get("States", {})
    return found


def test_every_store_is_under_the_stacks_own_key(default: Template) -> None:
    # Given what holds data, and the property that names its key
    wanted = {
        "AWS::S3::Bucket": "KMSMasterKeyID",
        "AWS::DynamoDB::Table": "KMSMasterKeyId",
        "AWS::SQS::Queue": "KmsMasterKeyId",
        "AWS::SNS::Topic": "KmsMasterKeyId",
        "AWS::Logs::LogGroup": "KmsKeyId",
        "AWS::SecretsManager::Secret": "KmsKeyId",
        "AWS::StepFunctions::StateMachine": "KmsKeyId",
    }
    ((key_id, key),) = default.resources("AWS::KMS::Key")
    for resource_type, name in wanted.items():
        found = list(default.resources(resource_type))
        assert found, resource_type
        for logical_id, resource in found:
            # Then it is this key
            assert name in json.dumps(resource), logical_id
            assert key_id in json.dumps(resource["Properties"]), logical_id
    assert key["Properties"]["EnableKeyRotation"] is True


def test_the_state_machine_logs_errors_and_no_data(default: Template) -> None:
    ((_, machine),) = default.resources("AWS::StepFunctions::StateMachine")
    logging = machine["Properties"]["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ERROR", False)


def test_every_task_ends_is_retried_with_jitter_and_leads_to_the_failure_path(default: Template) -> None:
    # Given the states of the machine
    states = states_of(default)
    inside_the_map = set(states["Understand paragraphs"]["ItemProcessor"]["States"])
    assert states["Understand paragraphs"]["Catch"][-1]["Next"] == "Record failure"
    for name, state in states.items():
        if state["Type"] != "Task":
            continue
        # Then what may pass is retried with back-off and jitter, and what will not pass is not
        lasting, passing = state["Retry"][:2]
        assert (lasting["ErrorEquals"], lasting["MaxAttempts"]) == (LASTING, 0)
        assert (passing["BackoffRate"], passing["JitterStrategy"]) == (2, "FULL")
        # and a call that hangs is given up and made again, while who waits for somebody decides what late means
        assert state["TimeoutSeconds"], name
        hangs = not state["Resource"].endswith("waitForTaskToken")
        assert ("States.Timeout" in passing["ErrorEquals"]) is hangs, name
        # and whatever else happens has a way on
        if name not in inside_the_map:
            assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
    # and what waits for a token waits for so long and no longer
    waiting = {name: state for name, state in states.items() if state.get("Resource", "").endswith("waitForTaskToken")}
    assert {name: state["TimeoutSeconds"] for name, state in waiting.items()} == {
        "Start analysis": 3600,
        "Ask a reviewer": 14_400,
    }


def test_services_are_called_directly_where_only_data_is_passed_on(default: Template) -> None:
    # Given the tasks that are no function's
    direct = {state["Resource"].partition(":::")[2] for state in states_of(default).values() if state["Type"] == "Task"}
    # Then these services are called by the state machine itself
    assert direct >= {
        "aws-sdk:comprehend:batchDetectEntities",
        "aws-sdk:comprehend:batchDetectSentiment",
        "aws-sdk:comprehend:detectPiiEntities",
        "aws-sdk:s3:getObject",
        "aws-sdk:s3:putObject",
        "dynamodb:updateItem",
        "sns:publish",
    }


def test_only_textract_may_use_the_notifier_and_only_start_analysis_may_pass_it(default: Template) -> None:
    # Given everybody who may pass a role
    passing = [one for one in statements(default) if "iam:PassRole" in one.actions]
    # Then it is one function, one role, and to Textract alone
    (statement,) = passing
    assert statement.logical_id.startswith("StartAnalysis")
    assert [target.startswith("${TextractNotifier") for target in statement.targets] == [True]
    assert statement.body["Condition"] == {"StringEquals": {"iam:PassedToService": "textract.amazonaws.com"}}


def test_tokens_are_answered_on_this_machine_alone(default: Template) -> None:
    # Given everybody who may answer a waiting state
    answering = [
        one for one in statements(default) if any(action.startswith("states:SendTask") for action in one.actions)
    ]
    # Then it is on this machine's ARN
    assert {one.logical_id[:-8] for one in answering} == {
        "StartAnalysisUsesWorkflow",
        "ResumeUsesWorkflow",
        "AskReviewerUsesWorkflow",
        "ReviewPageUsesWorkflow",
    }
    assert all(target.startswith("${Workflow") for one in answering for target in one.targets)


def test_augmented_ai_is_refused_in_a_default_stack_and_passes_every_other_check() -> None:
    # Given the variant with Augmented AI
    template = made(**A2I)
    # When it is held against the checks
    refused = availability.check(template)
    # Then it is refused for being closed, and for nothing else
    assert refused
    assert all("Augmented AI" in problem.message for problem in refused)
    assert wildcards.check(template) == []
    assert leftovers.check(template) == []
    # and has no page of its own
    assert not list(template.resources("AWS::ApiGateway::RestApi"))
    assert "Start human loop" in states_of(template)
    assert "Ask a reviewer" not in states_of(template)


def loop_name(expression: str, **execution: Any) -> str:
    """What the state machine makes of the name's expression in an execution."""
    found = jsonata.Jsonata(expression.removeprefix("{%").removesuffix("%}").strip())
    found.register_lambda("hash", lambda text, algorithm: hashlib.new(algorithm, text.encode()).hexdigest())
    return str(found.evaluate(None, {"states": {"context": {"Execution": execution}}}))


def test_a_human_loop_has_the_name_of_its_run_and_no_other() -> None:
    # Given the variant with Augmented AI, and executions of one document: as it came, by hand, redriven
    states = states_of(made(**A2I))
    name = states["Start human loop"]["Arguments"]["HumanLoopName"]
    arn = "arn:aws:states:us-east-1:123456789012:execution:documents:"
    runs = [(f"{arn}{'d' * 40}", 0), (f"{arn}By_hand-{'D' * 72}", 0), (f"{arn}{'d' * 40}", 1)]
    names = [loop_name(name, Id=execution, RedriveCount=count) for execution, count in runs]
    # Then each has a name that Augmented AI takes and the role may look at, and an attempt again has the same
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"review-[a-z0-9](-*[a-z0-9]){0,55}", one) for one in names)
    assert loop_name(name, Id=runs[0][0], RedriveCount=0) == names[0]
    # and the loop that was started is the one that is looked at
    assert states["Start human loop"]["Assign"] == {"loop": name}
    assert states["Look at human loop"]["Arguments"] == {"HumanLoopName": "{% $loop %}"}


def test_a_document_that_a_worker_of_augmented_ai_rejects_is_rejected() -> None:
    # Given the state that reads the worker's answer
    store = states_of(made(**A2I))["Store findings"]
    # Then a rejection is tried once, and is recorded as that of the review page is
    assert "RejectedByReviewer" in store["Retry"][0]["ErrorEquals"]
    rejected = store["Catch"][0]
    assert (rejected["ErrorEquals"], rejected["Next"]) == (["RejectedByReviewer"], "Record rejection")
    assert rejected["Output"] == states_of(made())["What the reviewer says"]["Choices"][0]["Output"]


def test_the_day_on_which_augmented_ai_closed_is_told_where_it_is_chosen() -> None:
    # Given the day in the list of services
    day = services.table()["service"]["augmented-ai"]["since"].isoformat()
    # Then the setting says it, and so does the page where it tells of the variant
    assert day in str(DocumentProcessingSettings.model_fields["human_review"].description)
    (told,) = [
        part
        for part in PAGE.read_text(encoding="utf-8").split("\n\n")
        if part.startswith("`human_review: augmented-ai`")
    ]
    assert day in told


def test_the_default_stack_uses_nothing_that_is_closed(default: Template) -> None:
    assert availability.check(default) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("minimum_confidence", 100.1),
        ("upload_prefix", "documents/in/"),
        ("upload_prefix", "uploads"),
        ("language", "de"),
        ("maximum_pages", 0),
        ("maximum_pages", 501),
        ("map_concurrency", 41),
        ("review_deadline_seconds", 9),
        ("retry_attempts", 0),
        ("review_base_url", "http://plain.example"),
        ("flow_definition_arn", "forms"),
        ("alarm_email", "nobody"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        DocumentProcessingSettings.model_validate({name: value})
    assert [fault["loc"] for fault in refused.value.errors()] == [(name,)]


def test_augmented_ai_wants_its_flow() -> None:
    with pytest.raises(ValidationError, match="flow_definition_arn"):
        DocumentProcessingSettings(human_review="augmented-ai")


def test_settings_arrive_where_they_belong() -> None:
    # Given settings none of which is the default
    template = made(
        minimum_confidence=81.5,
        language="es",
        map_concurrency=7,
        analysis_timeout_seconds=600,
        review_reminder_seconds=700,
        review_deadline_seconds=8000,
        retry_attempts=4,
        retry_seconds=3,
        fields_that_matter=("Name", "Policy"),
        maximum_pages=12,
        review_base_url="https://review.example.com/",
        review_email="someone@example.com",
    )
    states = states_of(template)
    # Then they are in the definition
    assert states["Sure enough"]["Choices"][0]["Condition"] == "{% $reading.lowest_confidence < 81.5 %}"
    assert states["Find entities"]["Arguments"]["LanguageCode"] == "es"
    assert states["Understand paragraphs"]["MaxConcurrency"] == 7
    assert states["Start analysis"]["TimeoutSeconds"] == 600
    assert states["Ask a reviewer"]["TimeoutSeconds"] == 700
    assert (states["Look"]["Retry"][1]["MaxAttempts"], states["Look"]["Retry"][1]["IntervalSeconds"]) == (4, 3)
    # and in the functions
    variables: dict[str, Any] = {}
    for _, function in template.resources("AWS::Lambda::Function"):
        variables |= function["Properties"].get("Environment", {}).get("Variables", {})
    assert json.loads(variables["FIELDS_THAT_MATTER"]) == ["Name", "Policy"]
    assert variables["MAXIMUM_PAGES"] == "12"
    assert variables["REVIEW_DEADLINE_SECONDS"] == "8000"
    assert text(variables["REVIEW_BASE_URL"]) == "https://review.example.com/"
    assert [
        one["Properties"]["Endpoint"]
        for _, one in template.resources("AWS::SNS::Subscription")
        if one["Properties"]["Protocol"] == "email"
    ] == ["someone@example.com"]
