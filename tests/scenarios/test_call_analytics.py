"""Understand recorded calls: what was said comes out, who said it, in which mood, and nothing that is personal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from scenarios import call_analytics
from scenarios.call_analytics import Recording, Upload
from scenarios.calls import accuracy
from tests.cdk import apart, calls_of_one_voice
from tests.conftest import FreshStack
from tests.local.emulated import client_as, make_role
from tests.scenarios.operator import ARCHITECTURE, SMALL, Operator, booking, short, talk


@pytest.mark.soak
def test_a_five_turn_call_is_understood_and_nothing_personal_is_left(operator: Operator) -> None:
    # Given a call of five turns in a language that nobody tells, with a name, a card and a telephone number
    truth = booking()
    assert len(truth.turns) == 5
    # When it is uploaded, and a summary is asked for
    report = call_analytics.run(
        operator.cloud, operator.outputs, [Recording("booking.wav", truth.wav(), spoken=True, truth=truth)]
    )
    (call,) = report.calls
    assert call.status == "COMPLETED", call.reason
    # Then language and speakers are right, turn by turn, and nearly all words are
    assert call.fit
    assert (call.language, call.fit.language, call.fit.turns) == ("en-US", True, True)
    assert call.fit.speakers >= 0.99
    assert call.fit.word_errors <= 0.08
    # and what is personal is gone from all that the stack makes of the call
    assert call.redacted
    assert call.fit.personal_data_gone == 1.0
    assert "[PII]" in " ".join(turn.text for turn in call.turns)
    # and was there, every bit of it, in the transcript that is kept apart
    (private,) = (key for key in operator.keys("transcripts/call-") if call.call in key)
    heard = json.loads(operator.s3.get_object(Bucket=operator.bucket, Key=private)["Body"].read())["results"]
    assert accuracy.secret_recall(truth.turns, heard["transcripts"][0]["transcript"]) == 0
    # and each hotel is heard, and stands in the German translation as it is written
    assert call.fit.hotels_heard == call.fit.hotels_kept == 1.0
    assert set(call.hotels) == set(truth.hotels)
    assert all(turn.translation and turn.translation != turn.text for turn in call.turns)
    assert "Guten Morgen" in call.turns[0].translation
    # and the report has moods over time, shares of talk, names and phrases
    assert all(turn.mood in {"POSITIVE", "NEGATIVE", "NEUTRAL", "MIXED"} for turn in call.turns)
    assert len(call.course) == 3
    assert call.talk_shares
    assert sum(call.talk_shares.values()) == pytest.approx(1, abs=0.01)
    assert call.phrases
    # and an MP3 was spoken
    spoken = operator.s3.get_object(Bucket=operator.bucket, Key=call.summary)
    assert spoken["ContentType"] == "audio/mpeg"
    assert len(spoken["Body"].read()) > 5_000


def test_what_is_personal_lies_where_nobody_reads_it_and_in_no_log(operator: Operator) -> None:
    # Given a call with personal data whose language is identified
    truth = short()
    uploaded = operator.upload(truth.wav(), language="")
    row = operator.wait_for(uploaded)
    # When all that was made of it is looked for
    made = [key for key in operator.keys("") if uploaded.call in key]
    private = [key for key in made if key.startswith(("identified/", "transcripts/call-"))]
    assert len(private) == 2
    # Then not even a role that may read every object of the bucket can read the unredacted transcripts
    objects = f"arn:aws:s3:::{operator.bucket}/*"
    key_of_bucket = operator.s3.head_object(Bucket=operator.bucket, Key=private[0])["SSEKMSKeyId"]
    reader = make_role(
        operator.cloud,
        {"Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": objects},
        {"Action": "kms:Decrypt", "Resource": key_of_bucket},
    )
    client = client_as(operator.cloud, reader, "s3")
    (report,) = [key for key in made if key.startswith("reports/")]
    assert client.get_object(Bucket=operator.bucket, Key=report)["ContentLength"]
    for key in private:
        with pytest.raises(ClientError, match="AccessDenied"):
            client.get_object(Bucket=operator.bucket, Key=key)
    # and the redacted transcript and all that follows from it hold nothing personal
    for key in set(made) - set(private):
        if not key.startswith(("media/", "summaries/")):
            text = operator.s3.get_object(Bucket=operator.bucket, Key=key)["Body"].read().decode()
            assert accuracy.secrets_left(truth.turns, text) == [], key
    # nor does the history of the execution, or any log: not even what was not personal
    history = json.dumps(operator.history(row["execution"]), default=str)
    logs = "\n".join(line for group in operator.log_groups() for line in operator.log_lines(group))
    assert uploaded.call in logs
    for text in (history, logs):
        for word in ("Smith", "Lumora", "love"):
            assert word not in text
    # and file names, which may be personal, are in no log either
    assert uploaded.key not in logs


def test_a_call_in_a_language_without_redaction_is_withheld(operator: Operator) -> None:
    # Given a call of which the uploader says that it is in a language in which Transcribe does not redact
    uploaded = operator.upload(language="ja-JP")
    # When it comes to an end
    row = operator.wait_for(uploaded, "WITHHELD")
    # Then the row says why, and nothing was transcribed
    assert row["reason"]["code"] == "RedactionNotSupported"
    assert row["language"] == "ja-JP"
    assert operator.jobs(uploaded) == []


def test_a_call_in_a_language_of_one_voice_is_one_turn_and_redacted(
    cloud: LocalCloud, fresh_stack: FreshStack, tmp_path: Path
) -> None:
    # Given a stack from a day on which Transcribe cannot tell speakers apart in English, and a call of two people
    assembly = apart(calls_of_one_voice, tmp_path / "assembly", SMALL, ["en-US"])
    operator = Operator(cloud, fresh_stack(assembly=assembly, architecture=ARCHITECTURE).outputs)
    truth = talk()
    # When it comes, and its language is identified
    uploaded = operator.upload(truth.wav(), language="")
    row = operator.wait_for(uploaded)
    # Then it went by the branch for such languages
    entered = operator.states_entered(row["execution"])
    place = entered.index("Speakers in redacted transcription")
    assert entered[place : place + 3] == [
        "Speakers in redacted transcription",
        "Start redacted transcription of one voice",
        "Wait for redacted transcription",
    ]
    assert "Start redacted transcription" not in entered
    # and no job was asked for what it cannot have
    transcribe = operator.cloud.client("transcribe")
    jobs = [transcribe.get_transcription_job(TranscriptionJobName=job) for job in operator.jobs(uploaded)]
    assert len(jobs) == 2
    assert all("ShowSpeakerLabels" not in job["TranscriptionJob"]["Settings"] for job in jobs)
    # and the call is analysed as what one speaker says, without what is personal, the hotels by their names
    report = operator.report(row)
    (turn,) = report["turns"]
    assert row["redacted"]
    assert accuracy.secrets_left(truth.turns, turn["text"]) == []
    assert all(hotel in turn["text"] for hotel in truth.hotels)


def test_a_call_in_the_language_of_the_house_is_not_translated(cloud: LocalCloud, fresh_stack: FreshStack) -> None:
    # Given a house that reads English, and keeps personal data
    settings = {**SMALL, "house_language": "en", "personal_data": "keep", "spoken_summary": "always"}
    operator = Operator(cloud, fresh_stack(settings, architecture=ARCHITECTURE).outputs)
    before = operator.calls("translate.TranslateText")
    # When a call in English comes, whose language is identified
    uploaded = operator.upload(language="")
    row = operator.wait_for(uploaded)
    # Then one job was enough, nothing was redacted or translated, and a summary was spoken unasked
    assert len(operator.jobs(uploaded)) == 1
    assert (row["redacted"], row["translated"]) == (False, False)
    assert operator.calls("translate.TranslateText") == before
    report = operator.report(row)
    assert "Smith" in report["turns"][0]["text"]
    assert operator.s3.head_object(Bucket=operator.bucket, Key=row["summary"])["ContentLength"] > 1_000


def test_a_call_in_a_language_that_comprehend_does_not_know_is_reported_without_insights(
    cloud: LocalCloud, fresh_stack: FreshStack
) -> None:
    # Given a house that reads Dutch, of which Comprehend finds nothing, and keeps personal data
    settings = {**SMALL, "languages": ["en-US", "nl-NL"], "house_language": "nl", "personal_data": "keep"}
    operator = Operator(cloud, fresh_stack(settings, architecture=ARCHITECTURE).outputs)
    # When a call comes of which the uploader says that it is in Dutch (the voices speak English: no words are compared)
    row = operator.wait_for(operator.upload(talk().wav(), language="nl-NL"))
    # Then there is a report of who speaks when, and no service was asked for what it does not know
    entered = operator.states_entered(row["execution"])
    assert {"Translate at once", "Start translation", "Analyse"} & set(entered) == set()
    report = operator.report(row)
    assert [turn["speaker"] for turn in report["turns"]] == ["spk_0", "spk_1"]
    assert (report["entities"], report["phrases"], report["tone"]) == ([], [], None)


def test_a_large_call_is_translated_by_a_job(operator: Operator) -> None:
    # Given a call with more text than is translated at once
    truth = talk()
    uploaded = operator.upload(truth.wav())
    # When it is analysed
    row = operator.wait_for(uploaded)
    # Then a job translated it turn by turn, and the hotels' names are as they were
    entered = operator.states_entered(row["execution"])
    assert "Start translation" in entered
    assert "Translate at once" not in entered
    report = operator.report(row)
    assert len(report["turns"]) == 2
    for turn in report["turns"]:
        assert turn["translation"]
        for hotel in truth.hotels:
            assert (hotel in turn["text"]) == (hotel in turn["translation"])


def test_silence_is_a_report_without_turns(operator: Operator) -> None:
    # Given a recording in which nobody speaks
    script = short()
    silence = type(script)("silence", "en-US", script.samples * 0, (), ())
    # When it is analysed
    row = operator.wait_for(operator.upload(silence.wav(), spoken=True))
    # Then there is a report that says so
    assert row["turns"] == 0
    assert operator.report(row)["talk_shares"] == {}


@pytest.mark.parametrize("name", ["two words.wav", "a+b = c.wav", "100%25 sure.wav", "Über, naïve/写真 😀.wav"])
def test_a_key_is_read_and_stored_as_the_user_wrote_it(operator: Operator, name: str) -> None:
    # Given a key with characters that URLs encode, or beyond ASCII; a file that is no audio, for that is quick
    uploaded = operator.upload(b"no audio at all, but long enough to tell", name)
    # When it is looked at
    row = operator.wait_for(uploaded, "REJECTED")
    # Then its row bears exactly that key, and exactly that object was read
    assert row["audio"] == f"{operator.bucket}/{uploaded.key}"
    assert row["reason"]["code"] == "NotAudio"


def test_the_same_event_twice_is_one_execution_and_one_paid_job(operator: Operator) -> None:
    # Given an upload whose event is delivered again and again, at once and later
    uploaded = operator.quietly()
    before = operator.calls("transcribe.StartTranscriptionJob")
    operator.send("UploadQueueUrl", operator.event(uploaded), operator.event(uploaded))
    # When all of it is processed
    first = operator.wait_for(uploaded)
    operator.send("UploadQueueUrl", operator.event(uploaded))
    operator.until(operator.empty, "the queues to be empty")
    # Then there was one execution and one job, and the row is untouched by the repetition
    assert operator.row(uploaded) == first
    assert operator.calls("transcribe.StartTranscriptionJob") == before + 1
    # and another execution for the same call ends at once
    operator.start_again(uploaded)
    assert operator.never(lambda: operator.row(uploaded) != first)
    assert operator.calls("transcribe.StartTranscriptionJob") == before + 1


def test_an_overwritten_recording_is_analysed_as_it_was(operator: Operator) -> None:
    # Given a recording that is overwritten before anything looked at it
    uploaded = operator.quietly()
    operator.s3.put_object(Bucket=operator.bucket, Key=uploaded.key, Body=b"another content, which is no audio")
    # When the event of the first version is delivered
    operator.send("UploadQueueUrl", operator.event(uploaded))
    # Then the first version was transcribed
    row = operator.wait_for(uploaded)
    assert row["version"] == uploaded.version
    assert row["turns"] == 1


def test_the_end_of_a_job_may_be_heard_before_anybody_waits_for_it(operator: Operator) -> None:
    # Given a call whose job was started by an attempt that did not live to tell, and has ended meanwhile
    uploaded = operator.quietly()
    job = operator.start_job(uploaded)
    operator.until(lambda: "job_status" in operator.wait_row(job), "the end of the job to be noted")
    assert "token" not in operator.wait_row(job)
    # When the event of the upload comes at last
    operator.send("UploadQueueUrl", operator.event(uploaded))
    # Then the job that is there is taken, and nobody waits for an event that will not come again
    row = operator.wait_for(uploaded)
    assert operator.jobs(uploaded) == [job]
    assert row["turns"] == 1


def test_the_end_of_a_job_may_be_heard_late_and_twice(operator: Operator) -> None:
    # Given a stack that hears of no job by itself
    with operator.rule_off("TranscriptionRuleName"):
        uploaded = operator.upload()
        job = f"{operator.outputs['JobPrefix']}{uploaded.call}-redact"
        operator.until(lambda: _ended(operator, uploaded, job), "the job to be ended")
        operator.until(lambda: "token" in operator.wait_row(job), "the token to be kept")
        assert operator.never(lambda: (operator.row(uploaded) or {}).get("status") == "COMPLETED")
        # When its event comes long after, and twice
        operator.send("JobQueueUrl", operator.end_of(job), operator.end_of(job))
        # Then the call is analysed, once
        row = operator.wait_for(uploaded)
        operator.until(operator.empty, "the queues to be empty")
        assert operator.states_entered(row["execution"]).count("Read transcript") == 1
        # and one that comes when all is over, with another status, disturbs nothing
        operator.send("JobQueueUrl", operator.end_of(job, "FAILED"))
        operator.until(operator.empty, "the queues to be empty")
        assert operator.row(uploaded) == row
        assert operator.letters("JobDeadLetterQueueUrl") == []


def test_a_job_of_whose_end_nobody_tells_is_asked_in_the_end(operator: Operator) -> None:
    # Given a stack that hears of no job
    with operator.rule_off("TranscriptionRuleName"):
        uploaded = operator.upload()
        job = f"{operator.outputs['JobPrefix']}{uploaded.call}-redact"
        operator.until(lambda: _ended(operator, uploaded, job), "the job to be ended")
        # When all the time that a job is given has passed
        operator.until(
            lambda: "Wait for redacted transcription" in operator.states_entered(operator.execution(uploaded)),
            "the state to wait",
        )
        operator.control.clock_advance(SMALL["job_timeout_seconds"] + 1)
        # Then the job is asked, and the call is analysed
        operator.wait_for(uploaded)


def _ended(operator: Operator, uploaded: Upload, job: str) -> bool:
    if job not in operator.jobs(uploaded):
        return False
    found = operator.cloud.client("transcribe").get_transcription_job(TranscriptionJobName=job)
    return bool(found["TranscriptionJob"]["TranscriptionJobStatus"] in ("COMPLETED", "FAILED"))
