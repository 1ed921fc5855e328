"""The stack of call-analytics: what would lose a call, leak one, or wait for ever if it were otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from pydantic import ValidationError

from docs.state_graph import definitions
from stacks.language import call_workflow
from stacks.language.call_analytics import FOLDERS, CallAnalytics, CallAnalyticsSettings
from stacks.language.languages import ANALYSED, REDACTED, TRANSLATED, VOICES, analysed
from stacks.policy import leftovers, wildcards
from stacks.policy.template import Template, read, statements, text


def made(**settings: Any) -> Template:
    """The template with these settings, as for this machine."""
    chosen = CallAnalyticsSettings(**settings)
    stack = CallAnalytics(cdk.App(), "call-analytics", settings=chosen, target="local")
    return Template("call-analytics", dict(assertions.Template.from_stack(stack).to_json()))


@pytest.fixture(scope="module")
def default(assemblies: dict[str, Path]) -> Template:
    return next(one for one in read(assemblies["aws"]) if one.architecture == "call-analytics")


def states_of(template: Template) -> dict[str, Any]:
    (machine,) = definitions(template.body).values()
    return dict(machine["States"])


def grants(template: Template, role: str) -> dict[str, set[str]]:
    """What a role may do: actions, each with the resources that it is for."""
    found: dict[str, set[str]] = {}
    for statement in statements(template):
        if statement.logical_id.startswith(role) and statement.kind != "resource":
            for action in statement.actions:
                found.setdefault(action, set()).update(statement.targets)
    return found


def test_every_store_is_under_the_stacks_own_key(default: Template) -> None:
    # Given what holds data, and the property that names its key
    wanted = {
        "AWS::S3::Bucket": "KMSMasterKeyID",
        "AWS::DynamoDB::Table": "KMSMasterKeyId",
        "AWS::SQS::Queue": "KmsMasterKeyId",
        "AWS::SNS::Topic": "KmsMasterKeyId",
        "AWS::Logs::LogGroup": "KmsKeyId",
        "AWS::StepFunctions::StateMachine": "KmsKeyId",
    }
    ((key_id, key),) = default.resources("AWS::KMS::Key")
    for resource_type, name in wanted.items():
        for logical_id, resource in default.resources(resource_type):
            told = json.dumps(resource["Properties"])
            assert f'"{name}": {{"Fn::GetAtt": ["{key_id}", "Arn"]}}' in told, logical_id
    assert key["Properties"]["EnableKeyRotation"] is True


def test_what_the_jobs_write_is_under_it_too(default: Template) -> None:
    states = states_of(default)
    for name in ("Start identification", "Start redacted transcription"):
        assert states[name]["Arguments"]["OutputEncryptionKMSKeyId"]
    assert states["Start translation"]["Arguments"]["OutputDataConfig"]["EncryptionKey"]["Type"] == "KMS"


def test_the_log_of_the_state_machine_holds_no_data_of_an_execution(default: Template) -> None:
    ((_, machine),) = default.resources("AWS::StepFunctions::StateMachine")
    assert machine["Properties"]["LoggingConfiguration"]["IncludeExecutionData"] is False


def test_only_redacted_transcripts_are_read(default: Template) -> None:
    # Given the role of the function that reads transcripts, When its grants are read
    readable = grants(default, "ReadTranscript")["s3:GetObject"]
    # Then they are those that Transcribe has redacted
    assert [target.rpartition("}")[2] for target in readable] == ["/transcripts/redacted-*"]
    # and no state has any other read
    assert states_of(default)["Read transcript"]["Arguments"]["Payload"]["transcript"] == "{% $transcript %}"
    assigned = [
        choice["Assign"]["transcript"]
        for state in states_of(default).values()
        for choice in state.get("Choices", ())
        if "transcript" in choice.get("Assign", {})
    ]
    assert sorted(expression.split("'")[1] for expression in assigned) == ["identified/", "transcripts/redacted-"]
    # nor does one find its way past the redaction
    allowed = states_of(default)["What the language allows"]
    assert [choice["Next"] for choice in allowed["Choices"]] == ["Start redacted transcription"]
    assert allowed["Default"] == "Withhold"


@pytest.mark.parametrize("readers", [(), ("arn:aws:iam::123456789012:role/auditor",)])
def test_transcripts_with_personal_data_are_for_the_named_roles_alone(readers: tuple[str, ...]) -> None:
    # Given the bucket's policy
    template = made(unredacted_readers=readers)
    (denial,) = [s for s in statements(template) if s.body.get("Sid") == "UnredactedTranscripts"]
    # Then reading them is denied to everybody, but for the readers of the settings
    assert denial.body["Effect"] == "Deny"
    assert denial.body["Principal"] == {"AWS": "*"}
    endings = {target.rpartition("}")[2] for target in denial.targets}
    assert endings == {"/identified/*", "/open/*", "/transcripts/call-*"}
    if readers:
        told = denial.body["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]
        assert ([told] if isinstance(told, str) else told) == list(readers)
    else:
        assert "Condition" not in denial.body


def test_a_state_that_waits_is_followed_by_a_look_whatever_comes(default: Template) -> None:
    # Given the states that wait for a job
    states = states_of(default)
    waiting = {name: state for name, state in states.items() if ".waitForTaskToken" in state.get("Resource", "")}
    assert len(waiting) == 3
    for name, state in waiting.items():
        # Then they do not wait for ever, and in the end the job itself is asked
        assert state["TimeoutSeconds"] == 14_400
        (timed_out,) = [catch for catch in state["Catch"] if catch["ErrorEquals"] == ["States.Timeout"]]
        assert timed_out["Next"] == state["Next"] == name.replace("Wait for", "Look at")


def test_every_task_is_retried_with_jitter_and_has_a_way_to_fail(default: Template) -> None:
    for name, state in states_of(default).items():
        if state["Type"] == "Task":
            retry = state["Retry"][-1]
            assert (retry["JitterStrategy"], retry["BackoffRate"]) == ("FULL", 2), name
            assert state["Catch"], name
            # and a call that hangs is given up and made again, while who waits for a job asks it
            assert state["TimeoutSeconds"], name
            hangs = ".waitForTaskToken" not in state["Resource"]
            assert ("States.Timeout" in retry["ErrorEquals"]) is hangs, name


def test_personal_data_may_be_kept_by_a_setting() -> None:
    # Given a stack that redacts nothing, and one that redacts where that can be
    kept, possible = made(personal_data="keep"), made(personal_data="redact-where-possible")
    # Then the first has no redacted job, the second has both
    assert "Start redacted transcription" not in states_of(kept)
    assert {"Start redacted transcription", "Start open transcription"} <= set(states_of(possible))
    for template in (kept, possible):
        # and its function may read what is not redacted
        readable = {target.rpartition("}")[2] for target in grants(template, "ReadTranscript")["s3:GetObject"]}
        assert {"/open/*", "/identified/*"} <= readable


def one_voice(template: Template, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The states that start a job of this kind: for Japanese, of one voice here, and for the other languages."""
    states = states_of(template)
    choice = states[f"Speakers in {kind} transcription"]
    ((branch,), usual) = choice["Choices"], choice["Default"]
    assert branch["Condition"] == "{% $language in ['ja-JP'] %}"
    return states[branch["Next"]], states[usual]


def test_a_language_in_which_speakers_cannot_be_told_apart_has_a_branch_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a language of the house in which Transcribe does not label speakers, of which there is none today
    assert not any(name.startswith("Speakers in") for name in states_of(made(personal_data="redact-where-possible")))
    monkeypatch.setattr(call_workflow, "ONE_VOICE", ("ja-JP", "ko-KR"))
    template = made(languages=("en-US", "ja-JP"), personal_data="redact-where-possible")
    states = states_of(template)
    allowed = states["What the language allows"]
    # Then each kind of job, redacting or not, begins with the choice
    assert [choice["Next"] for choice in allowed["Choices"]] == [
        "Speakers in redacted transcription",
        "Read transcript",
    ]
    assert allowed["Default"] == "Speakers in open transcription"
    for kind in ("redacted", "open"):
        one, usual = one_voice(template, kind)
        # and but for the labels both do the same, and are waited for by the same state
        labels = {"ShowSpeakerLabels": True, "MaxSpeakerLabels": 2}
        settings = one["Arguments"]["Settings"]
        assert not set(labels) & set(settings)
        assert usual["Arguments"] == {**one["Arguments"], "Settings": {**settings, **labels}}
        assert {name: value for name, value in one.items() if name != "Arguments"} == {
            name: value for name, value in usual.items() if name != "Arguments"
        }
    # and nobody is told apart while the language is looked for; so that transcript serves such a language alone
    assert "ShowSpeakerLabels" not in states["Start identification"]["Arguments"]["Settings"]
    assert allowed["Choices"][1]["Condition"] == "{% $transcript != '' and $language in ['ja-JP'] %}"


def test_a_language_of_one_voice_that_nobody_calls_in_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = states_of(made())
    monkeypatch.setattr(call_workflow, "ONE_VOICE", ("ko-KR",))
    assert states_of(made()) == before


def test_other_words_make_other_resources() -> None:
    # Given two stacks whose settings differ in a hotel's name
    names = []
    for hotels in (["Hotel Marisol"], ["Hotel Marisol", "Villa Kestrel"]):
        ((_, resource),) = made(hotel_names=hotels).resources("Custom::LanguageResources")
        names.append(text(resource["Properties"]["Name"]))
    # Then what is made for them has other names, so that neither is changed under a running call
    assert names[0] != names[1]


@pytest.mark.parametrize(
    "settings",
    [
        {"personal_data": "keep", "spoken_summary": "never"},
        {"personal_data": "redact-where-possible", "spoken_summary": "always", "summary_voice": "Vicki"},
    ],
)
def test_each_variant_leaves_nothing_and_grants_no_more_than_it_needs(settings: dict[str, Any]) -> None:
    template = made(**settings)
    assert leftovers.check(template) == []
    assert wildcards.check(template) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"languages": ["en-US"]},
        {"languages": ["en-US", "en-GB"]},
        {"languages": ["en-US", "tlh"]},
        {"hotel_names": []},
        {"hotel_names": ["two\nlines"]},
        {"upload_prefix": "work/"},
        {"upload_prefix": "uploads"},
        {"unredacted_readers": ["arn:aws:iam::123456789012:role/*"]},
        {"timeout_seconds": 3600},
        {"house_language": "tlh"},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CallAnalyticsSettings.model_validate(settings)


def test_the_lists_of_languages_fit_together() -> None:
    assert set(REDACTED) <= set(TRANSLATED)
    assert set(VOICES.values()) <= set(TRANSLATED.values())
    assert {analysed(code) for code in TRANSLATED.values()} - {""} <= set(ANALYSED)
    assert all(folder.endswith("/") for folder in FOLDERS)
