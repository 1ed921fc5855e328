"""Accuracy of calls: what is counted as right and as wrong."""

from __future__ import annotations

import pytest

from scenarios.calls import accuracy
from scenarios.calls.recordings import Secret, Turn

TURNS = (
    Turn("agent", "Hello", 0.0, 4.0, ()),
    Turn("guest", "It is John, 4539 1488", 5.0, 9.0, (Secret("NAME", "John"), Secret("CARD", "4539 1488"))),
)


@pytest.mark.parametrize(
    ("said", "heard", "rate"),
    [
        ("Good morning, Ana.", "good morning ana", 0),
        ("one two three four", "one too three four", 0.25),
        ("one two", "", 1),
        ("", "something", 1),
        ("call 212-555", "call 2 1 2 5 5 5", 0),
    ],
)
def test_word_errors_are_counted_by_word_said(said: str, heard: str, rate: float) -> None:
    assert accuracy.word_error_rate(said, heard) == pytest.approx(rate)


def segment(start: float, end: float, label: str) -> dict[str, object]:
    return {"start_time": str(start), "end_time": str(end), "speaker_label": label}


def test_labels_need_no_names_but_must_be_kept_to() -> None:
    right = [segment(0, 4, "spk_1"), segment(5, 9, "spk_0")]
    merged = [segment(0, 4, "spk_0"), segment(5, 9, "spk_0")]
    lost = [segment(0, 4, "spk_0")]
    assert accuracy.speaker_accuracy(TURNS, right) == pytest.approx(1)
    assert accuracy.speaker_accuracy(TURNS, merged) == pytest.approx(0.5)
    assert accuracy.speaker_accuracy(TURNS, lost) < 0.7
    assert accuracy.speaker_accuracy(TURNS, []) == 0


def test_personal_data_is_gone_only_when_none_of_it_can_be_read() -> None:
    assert accuracy.secret_recall(TURNS, "It is [PII], [PII]") == 1
    assert accuracy.secrets_left(TURNS, "It is John, [PII]") == ["John"]
    assert accuracy.secrets_left(TURNS, "[PII] 4 5 3 9") == ["4539 1488"]
    assert accuracy.secret_recall(TURNS, "It is John, 1488") == 0


def test_names_count_to_the_letter() -> None:
    assert accuracy.names_kept(("Hotel Marisol", "Villa Kestrel"), "in Hotel Marisol, villa kestrel") == 0.5
