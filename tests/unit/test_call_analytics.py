"""The pure parts of call-analytics: turns, texts, batches, measures, summaries, events, words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.call_analytics import places, texts
from lambdas.call_analytics.admit.audio import media_format
from lambdas.call_analytics.analyse.batches import MAXIMUM_BYTES, documents, in_batches, mood
from lambdas.call_analytics.language_resources.handler import create, delete, terminology, vocabulary
from lambdas.call_analytics.read_transcript.turns import MalformedTranscriptError, turns
from lambdas.call_analytics.report.measures import course, overall, ranked, talk_shares
from lambdas.call_analytics.speak.summary import summary
from lambdas.call_analytics.waiting import NOBODY_WAITS, RESUMED, WAITING, Waits


def word(text: str, start: float, speaker: str = "", **more: Any) -> dict[str, Any]:
    told = {"speaker_label": speaker} if speaker else {}
    alternative = {"content": text, "confidence": "0.8", **more}
    times = {"start_time": f"{start:.2f}", "end_time": f"{start + 0.5:.2f}"}
    return {"type": "pronunciation", "alternatives": [alternative], **times, **told}


def mark(text: str) -> dict[str, Any]:
    return {"type": "punctuation", "alternatives": [{"content": text, "confidence": "0.0"}]}


# --- turns


def test_a_turn_ends_where_another_speaker_begins() -> None:
    # Given words of two speakers
    items = [word("Good", 0, "spk_0"), word("day", 1, "spk_0"), mark("."), word("Hello", 2, "spk_1"), mark("!")]
    # When turns are made
    first, second = turns({"results": {"items": items}}, "en-US")
    # Then each has its words, its punctuation, its times and its confidence
    assert (first["speaker"], first["text"], first["start"], first["end"]) == ("spk_0", "Good day.", 0, 1.5)
    assert (second["speaker"], second["text"]) == ("spk_1", "Hello!")
    assert (first["speaking"], first["confidence"]) == (1.0, 0.8)


def test_speakers_may_stand_in_segments_alone() -> None:
    # Given a transcript as it was written before items had speakers
    items = [word("One", 0), word("two", 1)]
    segments = [
        {"speaker_label": "spk_1", "items": [{"start_time": "0.00"}]},
        {"speaker_label": "spk_0", "items": [{"start_time": "1.00", "speaker_label": "spk_0"}]},
    ]
    found = turns({"results": {"items": items, "speaker_labels": {"segments": segments}}}, "en-US")
    assert [(turn["speaker"], turn["text"]) for turn in found] == [("spk_1", "One"), ("spk_0", "two")]


def test_without_speakers_all_is_one_turn_and_silence_is_none() -> None:
    assert [t["text"] for t in turns({"results": {"items": [word("a", 0), word("b", 1)]}}, "en-US")] == ["a b"]
    assert turns({"results": {"items": []}}, "en-US") == []
    # A mark before any word belongs to nobody.
    assert turns({"results": {"items": [mark("…")]}}, "en-US") == []


def test_some_languages_have_no_spaces() -> None:
    assert turns({"results": {"items": [word("猫", 0), word("だ", 1)]}}, "ja-JP")[0]["text"] == "猫だ"


def test_a_redacted_word_has_its_confidence_elsewhere() -> None:
    item = word("[PII]", 0)
    del item["alternatives"][0]["confidence"]
    item["alternatives"][0]["redactions"] = [{"confidence": "0.9", "type": "NAME"}]
    (turn,) = turns({"results": {"items": [item]}}, "en-US")
    assert (turn["text"], turn["confidence"]) == ("[PII]", 0.9)


@pytest.mark.parametrize("transcript", [{}, {"results": {}}, {"results": {"items": [{"type": "pronunciation"}]}}])
def test_a_transcript_of_another_shape_is_refused_without_a_quote(transcript: dict[str, Any]) -> None:
    with pytest.raises(MalformedTranscriptError, match="has no"):
        turns(transcript, "en-US")


# --- texts


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300), st.integers(4, 60))
def test_pieces_are_the_text_and_none_is_too_large(text: str, limit: int) -> None:
    found = texts.pieces(text, limit)
    assert "".join(found) == text
    assert all(0 < texts.size(piece) <= limit for piece in found)


def test_texts_are_cut_between_sentences() -> None:
    assert texts.pieces("One two. Three four. Five.", 16) == ["One two. ", "Three four. ", "Five."]


def test_a_large_turn_is_several_documents_that_know_their_place() -> None:
    # Given a turn of two documents, one of spaces, a small one
    large = "A sentence of some words. " * 300
    found = documents([large, "  ", "small"])
    # Then each piece says where it begins
    assert [document.turn for document in found] == [0, 0, 2]
    for document in found[:2]:
        assert large[document.offset :].startswith(document.text)
        assert texts.size(document.text) <= MAXIMUM_BYTES
    # and 60 documents are three calls
    assert [len(batch) for batch in in_batches(documents(["x"] * 60))] == [25, 25, 10]


def test_moods_are_put_together_by_length() -> None:
    sad = {"Positive": 0.0, "Negative": 1.0, "Neutral": 0.0, "Mixed": 0.0}
    glad = {"Positive": 1.0, "Negative": 0.0, "Neutral": 0.0, "Mixed": 0.0}
    assert mood([(30, sad), (10, glad)]) == {
        "mood": "NEGATIVE",
        "scores": {"Positive": 0.25, "Negative": 0.75, "Neutral": 0.0, "Mixed": 0.0},
    }
    assert mood([])["mood"] == "NEUTRAL"


# --- measures

TURNS = [
    {"speaker": "spk_1", "start": 0.0, "end": 4.0, "speaking": 3.0},
    {"speaker": "spk_0", "start": 5.0, "end": 6.0, "speaking": 1.0},
]
MOODS = [
    {"scores": {"Positive": 0.0, "Negative": 0.8}},
    {"scores": {"Positive": 0.6, "Negative": 0.0}},
]


def test_shares_of_talk_are_of_the_time_in_which_somebody_speaks() -> None:
    assert talk_shares(TURNS) == {"spk_1": 0.75, "spk_0": 0.25}
    assert talk_shares([]) == {}


def test_the_course_of_a_call_is_told_in_three_parts() -> None:
    parts = course(TURNS, MOODS)
    assert [part["tone"] for part in parts] == [-0.8, -0.8, 0.6]
    assert (parts[0]["from"], parts[-1]["to"]) == (0.0, 6.0)
    assert overall(TURNS, MOODS) == pytest.approx(0.75 * -0.8 + 0.25 * 0.6)
    assert course([], []) == []
    assert overall([], []) is None


def test_findings_are_counted_however_they_are_written_and_marks_are_none() -> None:
    found = [{"text": name, "type": "PLACE"} for name in ("Casa", "casa", "Villa", "[PII]", "PII", "my ***")]
    assert ranked(found) == [
        {"text": "Casa", "type": "PLACE", "times": 2},
        {"text": "Villa", "type": "PLACE", "times": 1},
    ]


def test_a_summary_says_how_long_who_where_and_in_which_mood() -> None:
    report = {
        "turns": [1],
        "seconds": 61.0,
        "talk_shares": {"spk_0": 0.7, "spk_1": 0.3},
        "hotels": ["Casa Lumora", "Villa Kestrel"],
        "tone": -0.5,
        "course": [{"tone": -0.9}, {"tone": None}, {"tone": 0.4}],
    }
    assert summary(report) == (
        "A call of 1 minute and 1 second, with 2 speakers, one of whom speaks 70 percent of the time."
        " It is about Casa Lumora and Villa Kestrel. On the whole it is unfriendly."
        " It begins unfriendly and ends friendly."
    )
    assert summary({"turns": []}) == "Nobody speaks in this call."


# --- what comes in


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"fLaC\0\0\0\x22", "flac"),
        (b"OggS\0\x02", "ogg"),
        (b"ID3\x04", "mp3"),
        (b"\xff\xfb\x90\x44", "mp3"),
        (b"\xff\xe1\x00", None),
        (b"\0\0\0\x20ftypM4A ", "m4a"),
        (b"\0\0\0\x20ftypisom", "mp4"),
        (b"#!AMR\n", "amr"),
        (b"\x1a\x45\xdf\xa3", "webm"),
        (b"%PDF", None),
        (b"", None),
    ],
)
def test_a_format_is_told_by_the_first_bytes(head: bytes, kind: str | None) -> None:
    assert media_format(head) == kind


def test_a_call_is_named_by_its_version() -> None:
    one, same, other = (places.call_id("b", "k", version) for version in ("1", "1", "2"))
    assert one == same != other
    # Bucket and key cannot be moved into one another.
    assert places.call_id("b", "k/x", "1") != places.call_id("b/k", "x", "1")


# --- waiting


class Table:
    """A table of waits, and a Step Functions that answers or refuses."""

    def __init__(self, refuses: str = "") -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.answered: list[str] = []
        self.refuses = refuses

    def update_item(self, **request: Any) -> dict[str, Any]:
        row = self.rows.setdefault(request["Key"]["job"]["S"], dict(request["Key"]))
        row[request["ExpressionAttributeNames"]["#attribute"]] = request["ExpressionAttributeValues"][":value"]
        return {"Attributes": dict(row)}

    def send_task_success(self, **request: Any) -> None:
        from botocore.exceptions import ClientError

        if self.refuses:
            raise ClientError({"Error": {"Code": self.refuses}}, "SendTaskSuccess")
        self.answered.append(request["taskToken"])


@pytest.mark.parametrize("order", ["token first", "end first"])
def test_whoever_comes_second_answers(order: str) -> None:
    table = Table()
    waits = Waits(table, table, "jobs")
    steps: list[Callable[[], str]] = [
        lambda: waits.keep_token("job", "token"),
        lambda: waits.note_end("job", "COMPLETED"),
    ]
    if order == "end first":
        steps.reverse()
    assert [step() for step in steps] == [WAITING, RESUMED]
    assert table.answered == ["token"]


@pytest.mark.parametrize("code", ["TaskDoesNotExist", "TaskTimedOut", "InvalidToken"])
def test_a_state_that_waits_no_longer_is_no_failure(code: str) -> None:
    table = Table(refuses=code)
    waits = Waits(table, table, "jobs")
    waits.keep_token("job", "token")
    assert waits.note_end("job", "COMPLETED") == NOBODY_WAITS


def test_a_refusal_is_a_failure() -> None:
    table = Table(refuses="AccessDeniedException")
    waits = Waits(table, table, "jobs")
    waits.keep_token("job", "token")
    with pytest.raises(Exception, match="AccessDenied"):
        waits.note_end("job", "COMPLETED")


# --- language resources


def test_a_vocabulary_says_how_a_name_is_spoken_and_written() -> None:
    lines = vocabulary(["Hôtel & Spa"]).splitlines()
    assert lines == ["Phrase\tSoundsLike\tIPA\tDisplayAs", "Hotel-and-Spa\t\t\tHôtel & Spa"]


def test_a_terminology_keeps_a_name_in_every_language() -> None:
    assert terminology(['The "Sun", Inn'], ["en", "de"]) == 'en,de\n"The ""Sun"", Inn","The ""Sun"", Inn"\n'


class Services:
    """Transcribe, Translate and S3 that keep what they are told, and miss nothing that is not there."""

    def __init__(self, state: str = "READY") -> None:
        self.there: set[str] = set()
        self.state = state

    def __getitem__(self, name: str) -> Services:
        return self

    def put_object(self, **request: Any) -> None:
        self.there.add(request["Key"])

    def create_vocabulary(self, **request: Any) -> None:
        assert request["VocabularyFileUri"].removeprefix("s3://bucket/") in self.there
        self.there.add(f"vocabulary {request['VocabularyName']}")

    def create_vocabulary_filter(self, **request: Any) -> None:
        self.there.add(f"filter {request['VocabularyFilterName']}")

    def import_terminology(self, **request: Any) -> None:
        self.there.add(f"terminology {request['Name']}")

    def get_vocabulary(self, **request: Any) -> dict[str, str]:
        return {"VocabularyState": self.state, "FailureReason": "too odd"}

    def delete_vocabulary(self, VocabularyName: str) -> None:  # noqa: N803 (boto3's own)
        self._delete(f"vocabulary {VocabularyName}")

    def delete_vocabulary_filter(self, VocabularyFilterName: str) -> None:  # noqa: N803
        self._delete(f"filter {VocabularyFilterName}")

    def delete_terminology(self, Name: str) -> None:  # noqa: N803
        self._delete(f"terminology {Name}")

    def _delete(self, name: str) -> None:
        from botocore.exceptions import ClientError

        if name not in self.there:
            raise ClientError({"Error": {"Code": "NotFoundException"}}, "Delete")
        self.there.remove(name)


class Context:
    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 10_000


PROPERTIES: dict[str, Any] = {
    "Name": "stack-1",
    "Languages": ["en-US", "de-DE"],
    "Hotels": ["Casa Lumora"],
    "Words": ["damn"],
    "Bucket": "bucket",
    "Prefix": "vocabularies/",
    "Translated": ["en", "de"],
}


def test_what_is_made_is_deleted_even_twice() -> None:
    services = Services()
    create(services, PROPERTIES, Context())  # type: ignore[arg-type]
    made = {name for name in services.there if " " in name}
    assert len(made) == 5
    delete(services, PROPERTIES)  # type: ignore[arg-type]
    delete(services, PROPERTIES)  # type: ignore[arg-type]
    assert not {name for name in services.there if " " in name}


@pytest.mark.parametrize(("state", "said"), [("FAILED", "too odd"), ("PENDING", "not ready yet")])
def test_a_vocabulary_that_is_not_ready_fails_the_deployment(state: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        create(Services(state), PROPERTIES, Context())  # type: ignore[arg-type]


def test_nothing_in_a_report_needs_more_than_json() -> None:
    assert json.loads(json.dumps(course(TURNS, MOODS)))
