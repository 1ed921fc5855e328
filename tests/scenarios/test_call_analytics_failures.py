"""Understand recorded calls, while things go wrong: nothing is lost or done twice, and every end has its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from stacks.language.call_workflow import TASK_SECONDS
from tests.local.emulated import make_queue, messages, policy
from tests.scenarios.operator import Operator, short, talk


@pytest.fixture
def told(operator: Operator) -> Iterator[str]:
    """The URL of a queue that hears what the topic of failures tells."""
    url, arn = make_queue(operator.cloud)
    allow = {"Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    operator.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow)})
    sns = operator.cloud.client("sns")
    subscription = sns.subscribe(
        TopicArn=operator.outputs["FailureTopicArn"],
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true"},
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]
    yield url
    sns.unsubscribe(SubscriptionArn=subscription)
    operator.sqs.delete_queue(QueueUrl=url)


# --- input that is not what it should be


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "Empty"),
        (b"this is no sound at all", "NotAudio"),
        (b"%PDF-1.7 a document", "NotAudio"),
    ],
)
def test_a_file_that_is_no_audio_is_rejected_with_a_reason(operator: Operator, content: bytes, code: str) -> None:
    # Given a file that only claims to be a recording
    before = operator.calls("transcribe.StartTranscriptionJob")
    # When it is uploaded
    row = operator.wait_for(operator.upload(content), "REJECTED")
    # Then that is a result with a reason, nothing was paid for, and nothing waits
    assert row["reason"]["code"] == code
    assert row["reason"]["message"]
    assert operator.calls("transcribe.StartTranscriptionJob") == before
    operator.until(operator.empty, "the queues to be empty")


def test_a_language_that_the_house_does_not_know_is_rejected(operator: Operator) -> None:
    row = operator.wait_for(operator.upload(language="xx-XX"), "REJECTED")
    assert row["reason"]["code"] == "UnknownLanguage"


def test_audio_that_breaks_off_fails_by_its_job_and_says_so(operator: Operator, told: str) -> None:
    # Given a recording whose header is right, and whose sound is not
    uploaded = operator.upload(short().wav()[:48])
    # When it is uploaded, Then its job fails, and the row has Transcribe's own reason
    row = operator.wait_for(uploaded, "FAILED")
    assert row["reason"]["code"] == "TranscriptionFailed"
    assert row["reason"]["message"]
    # and the topic tells of the call by its number, and nothing else of it
    (message,) = operator.until(lambda: messages(operator.cloud, told), "the topic to tell")
    body = json.loads(message["Body"])
    assert set(body) == {"call", "code", "execution"}
    assert body["call"] == uploaded.call


def test_a_call_that_the_local_cloud_cannot_redact_fails_and_nothing_is_made_up(operator: Operator) -> None:
    # Given a call of which the uploader says that it is in Spanish, which AWS redacts and this cloud does not
    uploaded = operator.upload(language="es-US")
    # When it comes to an end
    row = operator.wait_for(uploaded, "FAILED")
    # Then nothing was transcribed, and the execution has what the stand-in for Transcribe says of itself
    assert operator.jobs(uploaded) == []
    assert row["reason"]["code"] == "Transcribe.TranscribeException"
    assert "This local cloud finds personal data in English only, not in es-US." in operator.diagnosis(row)


def test_a_turn_larger_than_a_service_takes_is_cut_and_put_together(operator: Operator) -> None:
    # Given a call whose transcript is one turn of 40,000 bytes: more than Translate or Comprehend take at once
    uploaded = operator.quietly()
    job = operator.start_job(uploaded, "elsewhere/")
    words = ["I", "love", "Casa", "Lumora"] * 2000
    items = []
    for number, word in enumerate(words):
        times = {"start_time": str(number), "end_time": str(number + 0.5), "speaker_label": "spk_0"}
        items.append({"type": "pronunciation", "alternatives": [{"content": word, "confidence": "0.9"}], **times})
        if number % 4 == 3:
            items.append({"type": "punctuation", "alternatives": [{"content": "."}]})
    transcript = {"jobName": job, "results": {"items": items, "transcripts": []}}
    key = f"transcripts/redacted-{job}.json"
    operator.s3.put_object(Bucket=operator.bucket, Key=key, Body=json.dumps(transcript).encode())
    # When it is analysed
    operator.send("UploadQueueUrl", operator.event(uploaded))
    row = operator.wait_for(uploaded)
    # Then it is one turn with one mood, its findings are in their places, and its translation is whole
    (turn,) = operator.report(row)["turns"]
    assert turn["mood"] == "POSITIVE"
    assert len(turn["text"]) > 35_000
    assert turn["translation"].count("Casa Lumora") == 2000
    for entity in turn["entities"]:
        assert turn["text"][entity["begin"] : entity["end"]] == entity["text"]


# --- services that do not answer as they should


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("transcribe", "StartTranscriptionJob"),
        ("transcribe", "GetTranscriptionJob"),
        ("translate", "TranslateText"),
        ("comprehend", "BatchDetectSentiment"),
        ("dynamodb", "BatchWriteItem"),
        ("polly", "SynthesizeSpeech"),
    ],
)
def test_a_throttled_service_is_retried_until_it_answers(operator: Operator, service: str, operation: str) -> None:
    # Given a service that throttles: as often as the state machine tries again where it calls the service itself, and
    # more often than a client tries by itself where a function does
    times = 3 if service == "transcribe" else 4
    operator.control.faults_add(service=service, operation=operation, kind="throttle", times=times)
    before = operator.calls(f"{service}.{operation}")
    # When a call is uploaded
    uploaded = operator.upload(spoken=operation == "SynthesizeSpeech")
    # Then it is analysed in the end
    operator.wait_for(uploaded, hurry=True)
    assert operator.calls(f"{service}.{operation}") > before + times


def test_a_service_that_is_down_leaves_a_reason_and_the_call_can_be_started_again(
    operator: Operator, told: str
) -> None:
    # Given Comprehend failing for longer than the retries last
    operator.control.faults_add(service="comprehend", operation="BatchDetectEntities", kind="internal")
    uploaded = operator.upload()
    # When all attempts are used up
    row = operator.wait_for(uploaded, "FAILED", hurry=True)
    # Then the row has the service's own error, and the topic tells
    assert row["reason"]["code"] in ("InternalServerException", "InternalFailure")
    operator.until(lambda: messages(operator.cloud, told), "the topic to tell")
    # When the service is back and the call is started again, Then it is analysed
    operator.control.faults_clear()
    operator.start_again(uploaded)
    row = operator.wait_for(uploaded, again=True)
    assert "reason" not in row


def test_a_call_that_never_comes_back_is_made_again(operator: Operator) -> None:
    # Given Transcribe that does not answer once, when it is asked what became of a job
    rule = {"service": "transcribe", "operation": "GetTranscriptionJob", "kind": "timeout", "seconds": 60, "times": 1}
    operator.control.faults_add(**rule)
    uploaded = operator.upload()
    operator.until(lambda: all(one["applied"] for one in operator.control.faults()), "the call to hang")
    # When the state's time is over
    operator.control.clock_advance(TASK_SECONDS + 1)
    # Then it is made again, and the recording is analysed
    operator.wait_for(uploaded, hurry=True)


def test_an_answer_that_is_lost_starts_no_second_job(operator: Operator) -> None:
    # Given Transcribe starting the job, and failing to say so
    operator.control.faults_add(
        service="transcribe", operation="StartTranscriptionJob", kind="internal", when="after", times=1
    )
    # When a call is uploaded
    uploaded = operator.upload()
    # Then the second attempt finds the job, and the call is analysed by it
    operator.wait_for(uploaded, hurry=True)
    assert len(operator.jobs(uploaded)) == 1


def test_a_transcription_that_fails_is_recorded(operator: Operator) -> None:
    # Given a job that will fail
    operator.control.faults_add(service="transcribe", operation="StartTranscriptionJob", kind="fail-job", times=1)
    # When a call is uploaded, Then its row says so, in Transcribe's words
    row = operator.wait_for(operator.upload(), "FAILED")
    assert row["reason"]["code"] == "TranscriptionFailed"
    assert row["reason"]["message"]


def test_a_translation_that_fails_is_recorded(operator: Operator) -> None:
    # Given a translation job that will fail
    operator.control.faults_add(service="translate", operation="StartTextTranslationJob", kind="fail-job", times=1)
    # When a large call is uploaded, Then its row says so
    row = operator.wait_for(operator.upload(talk().wav()), "FAILED")
    assert row["reason"]["code"] == "TranslationFailed"
    assert row["reason"]["message"]


# --- messages


def test_a_message_that_cannot_be_read_reaches_the_dlq_and_disturbs_no_other(operator: Operator) -> None:
    # Given two messages of one batch, of which one is no event
    uploaded = operator.quietly(b"no audio, for that is quick enough")
    # When both are delivered
    operator.send("UploadQueueUrl", "{not json", operator.event(uploaded))
    # Then the good one is done, once
    operator.wait_for(uploaded, "REJECTED")
    # and the bad one, after its attempts, is a dead letter whose reason is in the log, without its content
    operator.control.clock_advance(1)
    letter = operator.until(lambda: _letters_in_time(operator, "UploadDeadLetterQueueUrl"), "a dead letter", seconds=60)
    assert letter[0]["Body"] == "{not json"
    lines = "\n".join(operator.log_lines(operator.outputs["IntakeLogGroupName"]))
    assert "unreadable message" in lines
    assert "{not json" not in lines


def test_a_start_that_fails_is_kept_and_redriven(operator: Operator) -> None:
    # Given Step Functions failing
    operator.control.faults_add(service="states", operation="StartExecution", kind="internal")
    uploaded = operator.upload(b"no audio, for that is quick enough")
    # When all deliveries are used up
    operator.until(lambda: _letters_in_time(operator, "UploadDeadLetterQueueUrl"), "a dead letter", seconds=60)
    assert operator.row(uploaded) is None
    # When it is back and the message is redriven, Then the call is done
    operator.control.faults_clear()
    operator.redrive("UploadDeadLetterQueueUrl")
    operator.wait_for(uploaded, "REJECTED")


def test_an_end_of_a_job_that_is_not_taken_is_kept_and_redriven(operator: Operator) -> None:
    # Given a function that may not answer the state that waits
    with operator.without("JobEnded", "states:SendTaskSuccess"):
        uploaded = operator.upload()
        job = f"{operator.outputs['JobPrefix']}{uploaded.call}-redact"
        operator.until(lambda: "job_status" in operator.wait_row(job), "the end of the job to be heard")
        # When the job's end was delivered as often as may be
        operator.until(lambda: _letters_in_time(operator, "JobDeadLetterQueueUrl"), "a dead letter", seconds=90)
        row = operator.row(uploaded)
        assert row
        assert row["status"] == "PROCESSING"
    # When the permission is back and the message is redriven, Then the call is analysed
    operator.redrive("JobDeadLetterQueueUrl")
    operator.wait_for(uploaded)


def _letters_in_time(operator: Operator, output: str) -> list[dict[str, object]]:
    """The dead letters, after as much time as a message is invisible between two deliveries, if there are none yet."""
    found = operator.letters(output)
    if not found and operator.control.health()["batches"] == 0:
        operator.control.clock_advance(361)
    return found
