"""Transcribe: what it writes follows the sound; vocabulary, filter, redaction and speakers do what they say."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from local.emulator import faults
from local.services import transcribe, transcripts
from local.services.transcribe import Transcribe
from local.services.wire import ObjectUnavailable, service_model
from scenarios.speech.voices import SAMPLE_RATE
from tests.local.speech import BUCKET, Desk, said, text, wav

TOWEL = "The blue towel is on the balcony."
TRAIN = "Our train leaves the station at noon."
HOTEL = "I would like to change my booking at Villa Kestrel."


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_the_prefix_of_its_targets_is_the_models() -> None:
    assert service_model("transcribe").metadata["targetPrefix"] == Transcribe.target_prefix


def test_other_words_are_another_transcript_with_times_and_confidences_from_the_sound() -> None:
    # Given two recordings
    desk = Desk(towel=wav(said(TOWEL)), train=wav(said(TRAIN, "low")))
    # When both are transcribed
    towel, train = desk.transcribe("towel", "towel"), desk.transcribe("train", "train")
    # Then each holds what was said in it, and not what was said in the other
    assert "towel" in text(towel)
    assert "balcony" in text(towel)
    assert "train" in text(train)
    assert "station" in text(train)
    assert "towel" not in text(train)
    # And words follow each other within the speech, each with its confidence; punctuation has no time
    words = [item for item in towel["items"] if item["type"] == "pronunciation"]
    starts = [float(item["start_time"]) for item in words]
    assert starts == sorted(starts)
    assert starts[0] >= 0.3
    assert float(words[-1]["end_time"]) <= len(said(TOWEL)) / SAMPLE_RATE
    assert all(0 < float(item["alternatives"][0]["confidence"]) <= 1 for item in words)
    assert all("start_time" not in item for item in towel["items"] if item["type"] == "punctuation")
    assert [item["id"] for item in towel["items"]] == list(range(len(towel["items"])))
    assert [number for part in towel["audio_segments"] for number in part["items"]] == list(range(len(towel["items"])))


@pytest.mark.parametrize("kind", ["silence", "hiss"])
def test_where_nobody_speaks_the_transcript_is_empty(kind: str) -> None:
    # Given two seconds of nothing, or of even noise
    random = np.random.default_rng(5)
    samples = np.zeros(2 * SAMPLE_RATE) if kind == "silence" else random.normal(0, 300, 2 * SAMPLE_RATE)
    desk = Desk(call=wav(samples.astype(np.int16)))
    # When it is transcribed
    results = desk.transcribe(Settings={"ShowSpeakerLabels": True, "MaxSpeakerLabels": 2})
    # Then nothing was said, by nobody
    assert results["transcripts"] == [{"transcript": ""}]
    assert results["items"] == []
    assert results["speaker_labels"]["speakers"] == 0


def test_a_vocabulary_changes_what_is_recognised_and_how_it_is_written() -> None:
    # Given a name that the recogniser does not know, said by a voice that it mishears
    desk = Desk(call=wav(said(HOTEL, "heart")))
    without = text(desk.transcribe(job="without"))
    # When a vocabulary has the name, with a form of its own
    desk.vocabulary("hotels", "Phrase\tDisplayAs\nVilla-Kestrel\tVILLA KESTREL\n")
    results = desk.transcribe(job="with", Settings={"VocabularyName": "hotels"})
    # Then it is written in that form, as one item
    assert "VILLA KESTREL" not in without
    assert "VILLA KESTREL" in text(results)
    assert "VILLA KESTREL" in [item["alternatives"][0]["content"] for item in results["items"]]


@pytest.mark.parametrize(("method", "expected"), [("mask", "***"), ("remove", ""), ("tag", "towel")])
def test_a_filter_masks_removes_or_tags_its_words(method: str, expected: str) -> None:
    # Given a filter of one word
    desk = Desk(call=wav(said(TOWEL)))
    desk.client.create_vocabulary_filter(VocabularyFilterName="linen", LanguageCode="en-US", Words=["Towel"])
    # When a job uses it
    results = desk.transcribe(Settings={"VocabularyFilterName": "linen", "VocabularyFilterMethod": method})
    # Then the word is dealt with, and the others stay
    assert ("towel" in text(results).lower()) == (method == "tag")
    assert expected in text(results)
    assert "balcony" in text(results)
    tagged = [item["alternatives"][0]["content"] for item in results["items"] if item.get("vocabularyFilterMatch")]
    assert tagged == (["towel"] if method == "tag" else [])


def test_redaction_keeps_two_files_apart_and_replaces_only_the_wanted_types() -> None:
    # Given a name and a telephone number
    desk = Desk(call=wav(said("Hello, my name is John Smith. Please call me on 2 1 2, 5 5 5, 3 1 4 2.", "low")))
    # When all of it is redacted, and when only names are
    everything = {"RedactionType": "PII", "RedactionOutput": "redacted_and_unredacted"}
    plain = text(desk.transcribe(job="job1", ContentRedaction=everything))
    hidden = desk.document("redacted-job1.json")
    desk.start(job="names", ContentRedaction={**everything, "RedactionOutput": "redacted", "PiiEntityTypes": ["NAME"]})
    names = desk.end("names")
    # Then the plain file has them, the redacted one has none, marked with their types
    assert "Smith" in plain
    assert "Smith" not in json.dumps(hidden)
    assert hidden["isRedacted"] is True
    kinds = {
        reason["type"]
        for item in hidden["results"]["items"]
        for reason in item["alternatives"][0].get("redactions", ())
    }
    assert {"NAME", "PHONE"} <= kinds
    assert not any(letter.isdigit() for letter in text(hidden["results"]))
    # And with names alone the number stays, and there is no plain file
    assert set(names["Transcript"]) == {"RedactedTranscriptFileUri"}
    assert (BUCKET, "names.json", None) not in desk.caller.objects
    assert "Smith" not in text(desk.document("redacted-names.json")["results"])
    assert any(letter.isdigit() for letter in text(desk.document("redacted-names.json")["results"]))


def test_speakers_are_told_apart_by_their_voices_not_by_their_words() -> None:
    # Given two people who take turns, and one person who says the same
    lines = [TOWEL, TRAIN, "It is already paid."]
    two = np.concatenate([said(line, voice) for line, voice in zip(lines, ("high", "low", "high"), strict=True)])
    one = np.concatenate([said(line, "high") for line in lines])
    desk = Desk(two=wav(two), one=wav(one))
    settings = {"ShowSpeakerLabels": True, "MaxSpeakerLabels": 5}
    # When both are transcribed
    dialogue = desk.transcribe("two", "two", Settings=settings)
    monologue = desk.transcribe("one", "one", Settings=settings)
    # Then the dialogue has two speakers, the first one twice, and the monologue has one
    assert dialogue["speaker_labels"]["speakers"] == 2
    labels = [part["speaker_label"] for part in dialogue["audio_segments"]]
    assert labels == ["spk_0", "spk_1", "spk_0"]
    assert monologue["speaker_labels"]["speakers"] == 1
    assert {item["speaker_label"] for item in monologue["items"]} == {"spk_0"}


def test_the_language_is_found_among_the_options_and_scored() -> None:
    desk = Desk(call=wav(said(TOWEL)))
    # When English is one of the options, and when it is none
    options = ["es-ES", "en-GB", "de-DE"]
    results = desk.transcribe(job="among", IdentifyLanguage=True, LanguageOptions=options)
    ended = desk.end("among")
    # Then it is found as the dialect that was given, and the scores of the options are told
    assert ended["LanguageCode"] == "en-GB"
    assert ended["IdentifiedLanguageScore"] > 0.8
    assert results["language_code"] == "en-GB"
    assert {one["code"] for one in results["language_identification"]} == set(options)


def test_where_nobody_speaks_no_language_is_made_up() -> None:
    desk = Desk(call=wav(np.zeros(SAMPLE_RATE, np.int16)))
    desk.start(IdentifyLanguage=True)
    ended = desk.end()
    assert ended["TranscriptionJobStatus"] == "FAILED"
    assert "no speech" in ended["FailureReason"]
    assert "LanguageCode" not in ended


def test_a_file_that_is_no_sound_fails_the_job_with_a_reason_and_an_event() -> None:
    # Given a text with the name of a sound
    desk = Desk(call=b"this is no sound")
    # When it is transcribed
    desk.start()
    ended = desk.end()
    # Then the job failed, says why, wrote nothing, and told EventBridge
    assert ended["TranscriptionJobStatus"] == "FAILED"
    assert "isn't valid" in ended["FailureReason"]
    assert desk.caller.written == {}
    assert desk.caller.emitted == [
        (
            "aws.transcribe",
            "Transcribe Job State Change",
            {"TranscriptionJobName": "job", "TranscriptionJobStatus": "FAILED"},
            (),
        )
    ]


def test_a_format_a_rate_or_a_length_that_does_not_fit_fails_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(call=wav(said(TOWEL)), short=wav(np.zeros(2000, np.int16)))
    monkeypatch.setattr(transcribe, "LONGEST_SECONDS", 1)
    desk.start(job="long")
    assert "Maximum audio duration" in desk.end("long")["FailureReason"]
    monkeypatch.undo()
    desk.start(job="format", MediaFormat="mp3")
    assert "media format" in desk.end("format")["FailureReason"]
    desk.start(job="rate", MediaSampleRateHertz=8000)
    assert "sample rate" in desk.end("rate")["FailureReason"]
    desk.start("short", job="short")
    assert "0.5 seconds" in desk.end("short")["FailureReason"]


def test_media_is_read_as_the_caller_or_as_the_role_and_refused_where_they_may_not() -> None:
    # Given a recording that may not be read
    desk = Desk()
    desk.caller.objects[BUCKET, "call", None] = ObjectUnavailable("AccessDenied", "no")
    # Then the request is refused, as on AWS, before there is a job
    with pytest.raises(ClientError) as error:
        desk.start()
    assert code(error) == "BadRequestException"
    assert "can't be accessed" in str(error.value)
    # And a role is taken on where one is given
    role = "arn:aws:iam::000000000000:role/reader"
    with pytest.raises(ClientError):
        desk.start(JobExecutionSettings={"AllowDeferredExecution": True, "DataAccessRoleArn": role})
    assert desk.caller.assumed == [(role, "transcribe.amazonaws.com")]


def test_the_output_goes_where_it_was_asked_for_encrypted_with_the_key() -> None:
    desk = Desk(call=wav(np.zeros(SAMPLE_RATE, np.int16)))
    desk.start(job="one", OutputKey="folder/", OutputEncryptionKMSKeyId="alias/calls")
    desk.start(job="two", OutputKey="folder/name")
    one, two = desk.end("one"), desk.end("two")
    assert one["Transcript"]["TranscriptFileUri"].endswith(f"/{BUCKET}/folder/one.json")
    assert two["Transcript"]["TranscriptFileUri"].endswith(f"/{BUCKET}/folder/name.json")
    assert desk.caller.written[BUCKET, "folder/one.json"] == ("application/json", "alias/calls")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"TranscriptionJobName": "no spaces"}, "BadRequestException"),
        ({"LanguageCode": "en-US", "IdentifyLanguage": True}, "BadRequestException"),
        ({"IdentifyLanguage": True, "LanguageOptions": ["en-US"]}, "BadRequestException"),
        ({"IdentifyLanguage": True, "LanguageOptions": ["en-US", "en-GB"]}, "BadRequestException"),
        ({"Settings": {"ShowSpeakerLabels": True}}, "BadRequestException"),
        ({"Settings": {"VocabularyName": "nowhere"}}, "BadRequestException"),
        ({"JobExecutionSettings": {"AllowDeferredExecution": True}}, "BadRequestException"),
        ({"Media": {"MediaFileUri": "https://example.com/a.wav"}}, "BadRequestException"),
        (
            {
                "IdentifyLanguage": True,
                "ContentRedaction": {"RedactionType": "PII", "RedactionOutput": "redacted"},
            },
            "BadRequestException",
        ),
        (
            {"LanguageCode": "nl-NL", "ContentRedaction": {"RedactionType": "PII", "RedactionOutput": "redacted"}},
            "BadRequestException",
        ),
        (
            {"LanguageCode": "de-DE", "ContentRedaction": {"RedactionType": "PII", "RedactionOutput": "redacted"}},
            "NotImplemented",
        ),
        ({"Subtitles": {"Formats": ["vtt"]}}, "NotImplemented"),
        ({"Settings": {"ChannelIdentification": True}}, "NotImplemented"),
    ],
)
def test_what_makes_no_sense_or_is_not_served_is_refused(request_: dict[str, Any], expected: str) -> None:
    desk = Desk(call=wav(np.zeros(SAMPLE_RATE, np.int16)))
    with pytest.raises(ClientError) as error:
        desk.start(**request_)
    assert code(error) == expected


def test_a_name_is_taken_once_and_what_is_not_there_is_not_found() -> None:
    desk = Desk(call=wav(np.zeros(SAMPLE_RATE, np.int16)))
    desk.start()
    with pytest.raises(ClientError) as error:
        desk.start()
    assert code(error) == "ConflictException"
    desk.end()
    desk.client.delete_transcription_job(TranscriptionJobName="job")
    with pytest.raises(ClientError) as error:
        desk.client.get_transcription_job(TranscriptionJobName="job")
    assert code(error) == "NotFoundException"
    with pytest.raises(ClientError) as error:
        desk.client.start_call_analytics_job(CallAnalyticsJobName="x", Media={"MediaFileUri": "s3://abc/d"})
    assert code(error) == "NotImplemented"


def test_jobs_are_listed_by_status_and_name_in_pages() -> None:
    desk = Desk(call=wav(np.zeros(SAMPLE_RATE, np.int16)), bad=b"bad")
    for number in range(3):
        desk.start(job=f"quiet-{number}", Tags=[{"Key": "a", "Value": "b"}])
        desk.end(f"quiet-{number}")
    desk.start("bad", job="broken")
    desk.end("broken")
    first = desk.client.list_transcription_jobs(Status="COMPLETED", JobNameContains="QUIET", MaxResults=2)
    second = desk.client.list_transcription_jobs(Status="COMPLETED", MaxResults=2, NextToken=first["NextToken"])
    names = [one["TranscriptionJobName"] for page in (first, second) for one in page["TranscriptionJobSummaries"]]
    assert names == ["quiet-2", "quiet-1", "quiet-0"]
    assert "NextToken" not in second
    arn = "arn:aws:transcribe:us-east-1:000000000000:transcription-job/quiet-0"
    assert desk.client.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]


def test_a_vocabulary_that_cannot_be_used_fails_with_a_reason() -> None:
    desk = Desk(call=wav(np.zeros(SAMPLE_RATE, np.int16)))
    # Given a phrase with spaces, which AWS refuses
    failed = desk.vocabulary("spaces", "Phrase\tDisplayAs\nVilla Kestrel\t\n")
    assert failed["VocabularyState"] == "FAILED"
    with pytest.raises(ClientError) as error:
        desk.start(Settings={"VocabularyName": "spaces"})
    assert code(error) == "BadRequestException"
    # And one of another language
    assert desk.vocabulary("german", "Phrase\nKurhaus\n", "de-DE")["VocabularyState"] == "READY"
    with pytest.raises(ClientError) as error:
        desk.start(Settings={"VocabularyName": "german"})
    assert "de-DE" in str(error.value)
    # And one that is too large
    with pytest.raises(ClientError) as error:
        desk.vocabulary("large", "Phrase\n" + "Wort\n" * 11_000)
    assert "50 KB" in str(error.value)


def test_no_more_vocabularies_than_an_account_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcribe, "MAXIMUM_VOCABULARIES", 1)
    desk = Desk()
    desk.vocabulary("first", "Phrase\nKestrel\n")
    with pytest.raises(ClientError) as error:
        desk.vocabulary("second", "Phrase\nKestrel\n")
    assert code(error) == "LimitExceededException"


def test_a_job_can_be_made_to_fail() -> None:
    desk = Desk(call=wav(np.zeros(SAMPLE_RATE, np.int16)))
    faults.add(service="transcribe", operation="StartTranscriptionJob", kind="fail-job", times=1)
    try:
        desk.start(job="unlucky")
        assert desk.end("unlucky")["TranscriptionJobStatus"] == "FAILED"
        desk.start(job="lucky")
        assert desk.end("lucky")["TranscriptionJobStatus"] == "COMPLETED"
    finally:
        faults.clear()


def test_a_phrase_is_found_however_the_recogniser_splits_it() -> None:
    items = tuple(
        transcripts.Item(word, number, number + 1, 0.5) for number, word in enumerate(("at", "Mari", "sol", "today"))
    )
    shown = transcripts.displayed(transcripts.Segment(0, 4, items), {"marisol": "Marisol"})
    assert [item.content for item in shown.items] == ["at", "Marisol", "today"]
    assert (shown.items[1].start, shown.items[1].end) == (1, 3)


@pytest.mark.parametrize(("heard", "form"), [("kestrell", True), ("castro", False), ("trestle", False)])
def test_a_slip_in_a_long_phrase_is_forgiven_and_another_word_is_not(heard: str, form: bool) -> None:
    items = (transcripts.Item("Villa", 0, 1, 0.5), transcripts.Item(heard, 1, 2, 0.5))
    shown = transcripts.displayed(transcripts.Segment(0, 2, items), {"villakestrel": "Villa Kestrel"})
    assert ([item.content for item in shown.items] == ["Villa Kestrel"]) is form


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("my card is 4539-1488-034-6467", "CREDIT_DEBIT_NUMBER"),
        ("call me on 212 555 0142", "PHONE"),
        ("my account is 00123 4567", "BANK_ACCOUNT_NUMBER"),
        ("the year 2026", None),
    ],
)
def test_long_numbers_are_personal_though_a_digit_was_lost(words: str, kind: str | None) -> None:
    assert [one.kind for one in transcripts.spoken_numbers(words)] == ([kind] if kind else [])
