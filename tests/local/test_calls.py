"""A synthesized call through the stand-ins: speakers, language, personal data and names, against what was said."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.services.translate import Translate
from scenarios.calls import accuracy, recordings
from scenarios.speech.voices import SAMPLE_RATE
from tests.local.emulated import client_as, eventually, make_queue, make_role, policy, set_permissions, unique
from tests.local.speech import Desk, text, wav
from tests.local.standin import FakeCaller, client_of


@pytest.fixture(scope="module")
def call() -> recordings.Call:
    return recordings.record(recordings.BOOKING)


@pytest.fixture(scope="module")
def desk(call: recordings.Call) -> Desk:
    """Someone who had the call transcribed twice: its language alone, then all else."""
    desk = Desk(call=call.wav())
    desk.vocabulary("hotels", recordings.vocabulary())
    desk.start(job="language", IdentifyLanguage=True, LanguageOptions=["en-US", "es-ES", "de-DE", "fr-FR"])
    desk.transcribe(
        job="all",
        Settings={"VocabularyName": "hotels", "ShowSpeakerLabels": True, "MaxSpeakerLabels": 5},
        ContentRedaction={"RedactionType": "PII", "RedactionOutput": "redacted_and_unredacted"},
    )
    return desk


def results(desk: Desk, key: str) -> Any:
    return desk.document(key)["results"]


def test_the_script_is_what_a_call_is_measured_by(call: recordings.Call) -> None:
    assert len(call.turns) == 5
    assert len({turn.speaker for turn in call.turns}) == 2
    assert {secret.kind for turn in call.turns for secret in turn.secrets} == {"NAME", "CREDIT_DEBIT_NUMBER", "PHONE"}
    assert all(before.end < after.start for before, after in zip(call.turns, call.turns[1:], strict=False))


def test_words_and_speakers_are_right(call: recordings.Call, desk: Desk) -> None:
    found = results(desk, "all.json")
    spoken = " ".join(turn.text for turn in call.turns)
    assert accuracy.word_error_rate(spoken, text(found)) <= 0.08
    assert found["speaker_labels"]["speakers"] == 2
    assert accuracy.speaker_accuracy(call.turns, found["speaker_labels"]["segments"]) >= 0.99
    assert [part["speaker_label"] for part in found["audio_segments"]] == [f"spk_{n}" for n in (0, 1, 0, 1, 0)]


def test_the_language_is_right(call: recordings.Call, desk: Desk) -> None:
    assert desk.end("language")["LanguageCode"] == call.language


def test_personal_data_is_gone_from_the_redacted_text_and_there_in_the_other(call: recordings.Call, desk: Desk) -> None:
    plain, hidden = text(results(desk, "all.json")), text(results(desk, "redacted-all.json"))
    assert accuracy.secret_recall(call.turns, plain) == 0
    assert accuracy.secrets_left(call.turns, hidden) == []


def test_the_names_of_hotels_are_recognised_not_redacted_and_not_translated(call: recordings.Call, desk: Desk) -> None:
    # Given the redacted text, and a terminology of the hotels
    hidden = text(results(desk, "redacted-all.json"))
    assert accuracy.names_kept(call.hotels, hidden) == 1
    client = client_of(Translate(), FakeCaller())[0]
    rows = ["en,de", *(f"{name},{name}" for name in recordings.HOTELS)]
    client.import_terminology(
        Name="hotels",
        MergeStrategy="OVERWRITE",
        TerminologyData={"File": "\n".join(rows).encode(), "Format": "CSV"},
    )
    # When it is translated with the terminology
    answer = client.translate_text(
        Text=hidden, SourceLanguageCode="en", TargetLanguageCode="de", TerminologyNames=["hotels"]
    )
    # Then it is another text, and the names are in it
    assert "Guten Morgen" in answer["TranslatedText"]
    assert accuracy.names_kept(call.hotels, answer["TranslatedText"]) == 1


def test_a_role_needs_the_permissions_of_its_files_and_gets_its_events(cloud: LocalCloud) -> None:
    # Given a recording without words, and a role that may start jobs and read, but not write
    bucket, s3 = unique("calls"), cloud.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="in/call.wav", Body=wav(np.zeros(SAMPLE_RATE, np.int16)))
    ask = {"Action": ["transcribe:StartTranscriptionJob", "transcribe:GetTranscriptionJob"], "Resource": "*"}
    read = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/in/*"}
    write = {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/out/*"}
    events = {"source": ["aws.transcribe"], "detail-type": ["Transcribe Job State Change"]}
    queue, arn = make_queue(cloud)
    allowed = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    statement = policy({**allowed, "Resource": arn})
    cloud.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": statement})
    rule = unique("rule")
    cloud.client("events").put_rule(Name=rule, EventPattern=json.dumps(events))
    cloud.client("events").put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    role = make_role(cloud, ask, read)
    client = client_as(cloud, role, "transcribe")

    def run(name: str) -> Any:
        client.start_transcription_job(
            TranscriptionJobName=name,
            LanguageCode="en-US",
            Media={"MediaFileUri": f"s3://{bucket}/in/call.wav"},
            OutputBucketName=bucket,
            OutputKey="out/",
        )
        return eventually(
            lambda: [
                job
                for job in [client.get_transcription_job(TranscriptionJobName=name)["TranscriptionJob"]]
                if job["TranscriptionJobStatus"] != "IN_PROGRESS"
            ]
        )[0]

    refused, accepted = unique("job"), unique("job")
    # When it starts a job, Then the job fails where it would write
    assert "can't be written" in run(refused)["FailureReason"]
    # When it may write, Then the transcript is there
    set_permissions(cloud, role, ask, read, write)
    assert run(accepted)["TranscriptionJobStatus"] == "COMPLETED"
    body = s3.get_object(Bucket=bucket, Key=f"out/{accepted}.json")["Body"].read()
    assert json.loads(body)["results"]["transcripts"] == [{"transcript": ""}]
    # And EventBridge was told of both
    seen: dict[str, str] = {}

    def told() -> bool:
        for message in cloud.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", ()):
            detail = json.loads(message["Body"])["detail"]
            seen[detail["TranscriptionJobName"]] = detail["TranscriptionJobStatus"]
        return seen == {refused: "FAILED", accepted: "COMPLETED"}

    assert eventually(told)
    # And without the permission to read there is no job
    set_permissions(cloud, role, ask, write)
    with pytest.raises(ClientError, match="can't be accessed"):
        run(unique("job"))
