"""The call that the scenario is measured by, and a recording as a role of the local cloud has it transcribed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from scenarios.calls import recordings
from scenarios.speech.voices import SAMPLE_RATE
from tests.local.emulated import client_as, eventually, make_queue, make_role, policy, set_permissions, unique
from tests.local.speech import wav


def test_the_script_is_what_a_call_is_measured_by() -> None:
    call = recordings.record(recordings.BOOKING)
    assert len(call.turns) == 5
    assert len({turn.speaker for turn in call.turns}) == 2
    assert {secret.kind for turn in call.turns for secret in turn.secrets} == {"NAME", "CREDIT_DEBIT_NUMBER", "PHONE"}
    assert all(before.end < after.start for before, after in zip(call.turns, call.turns[1:], strict=False))


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
