"""Insights from texts, end to end: what the scenario reports, and what each text becomes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import LocalCloud
from scenarios import text_insights
from scenarios.text_insights import Insight
from tests.conftest import FreshStack, SharedStacks
from tests.scenarios.text_driver import ARCHITECTURE, BATCH, GOOD, SMALL, TextDriver

TEXTS = Path(__file__).parents[2] / "samples" / "texts"


@pytest.fixture
def driver(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[TextDriver]:
    """A driver of the shared stack, whose queues are empty at the start and at the end of a test."""
    driver = TextDriver(cloud, shared_stacks(ARCHITECTURE, SMALL))
    driver.clean()
    yield driver
    driver.clean()


def named(insights: tuple[Insight, ...]) -> dict[str, Insight]:
    return {insight.name: insight for insight in insights}


def words(insight: Insight, kind: str) -> set[str | None]:
    return {one.text for one in insight.entities if one.type == kind}


def test_the_sample_texts_become_what_they_say(driver: TextDriver) -> None:
    # Given the texts that come with the project
    paths = sorted(TEXTS.glob("*.txt"))
    # When the scenario runs
    report = text_insights.run(driver.cloud, driver.outputs, paths)
    found = named(report.texts)
    # Then each has come to a result, in the order in which they were given
    assert report.complete, report
    assert [insight.name for insight in report.texts] == [path.name for path in paths]
    # and the moods are those that a reader finds
    assert {name: found[f"{name}.txt"].sentiment for name in ("review-lake-house", "review-city-inn")} == {
        "review-lake-house": "POSITIVE",
        "review-city-inn": "NEGATIVE",
    }
    assert found["review-mixed.txt"].sentiment == "MIXED"
    assert found["notice-neutral.txt"].sentiment == "NEUTRAL"
    scores = found["review-mixed.txt"].sentiment_scores
    assert scores is not None
    assert sum(scores.values()) == pytest.approx(1, abs=0.001)
    # and the names are those in the text
    assert {"Spain", "Portugal"} <= words(found["news-merger.txt"], "LOCATION")
    assert "Northwind Traders" in words(found["news-merger.txt"], "ORGANIZATION")
    assert found["news-merger.txt"].key_phrases
    # and an empty text, one too large and those in languages that were not asked for are results with reasons
    refused = {name: one.reason.partition(":")[0] for name, one in found.items() if one.reason is not None}
    assert refused == {
        "empty.txt": "EmptyText",
        "minutes-too-long.txt": "TextTooLarge",
        "review-french.txt": "UnsupportedLanguage",
        "review-german.txt": "UnsupportedLanguage",
        "review-japanese.txt": "UnsupportedLanguage",
    }
    assert [found[f"review-{name}.txt"].language for name in ("french", "german", "japanese")] == ["fr", "de", "ja"]
    # and nobody is alarmed by them
    driver.wait_until_empty()
    assert driver.dead_letters() == []


def test_personal_data_is_told_by_type_and_place_and_kept_nowhere(driver: TextDriver) -> None:
    # Given a letter full of personal data
    path = TEXTS / "letter-personal-data.txt"
    text = path.read_text(encoding="utf-8")
    # When it is analysed
    (insight,) = text_insights.run(driver.cloud, driver.outputs, [path]).texts
    # Then its row says what there is, and where
    at = {text[one.begin : one.end]: one.type for one in insight.personal_data}
    assert at["Jürgen Köhler"] == "NAME"
    assert at["j.koehler@example.org"] == "EMAIL"
    assert at["4111 1111 1111 1111"] == "CREDIT_DEBIT_NUMBER"
    # and neither the row nor the log has a word of it
    kept = str(driver.the_row(insight.text_id))
    logged = "".join(driver.until(driver.log_lines, "log lines"))
    for secret in ("Köhler", "koehler", "4111 1111", "Baker", "555-0132", "DE89 3704"):
        assert secret not in kept
        assert secret not in logged
    assert insight.text_id not in logged


def test_the_same_message_twice_is_one_row_and_one_paid_analysis(driver: TextDriver) -> None:
    # Given a text that was analysed
    text_id = driver.text_id()
    driver.send_text(text_id)
    row = driver.wait_for_text(text_id)
    driver.wait_until_empty()
    before = {operation: driver.calls(operation) for operation in BATCH}
    # When the same message comes again
    driver.send_text(text_id)
    driver.wait_until_empty()
    # Then its row is as it was, and Comprehend was not asked
    assert driver.the_row(text_id) == row
    assert {operation: driver.calls(operation) for operation in BATCH} == before


def test_a_changed_text_of_one_id_is_a_row_of_its_own(driver: TextDriver) -> None:
    # Given a text, and then another of the same id
    text_id = driver.text_id()
    driver.send_text(text_id, "The room was clean.")
    driver.wait_for_text(text_id)
    driver.send_text(text_id, "The room was filthy and awful.")
    # When both are analysed
    driver.wait_until_empty()
    rows = driver.rows(text_id)
    # Then each has its mood, and the later one can be told
    moods = [row["sentiment"] for row in sorted(rows.values(), key=lambda row: str(row["sent_at"]))]
    assert moods == ["POSITIVE", "NEGATIVE"]


def test_messages_out_of_order_do_not_disturb_each_other(driver: TextDriver) -> None:
    # Given two contents of one id, of which the later is delivered first
    text_id = driver.text_id()
    driver.send_text(text_id, "The second version is wonderful.")
    later = driver.wait_for_text(text_id)
    # When the earlier one comes late, and twice
    for _ in range(2):
        driver.send_text(text_id, "The first version is awful.")
    driver.wait_until_empty(hurry=True)
    # Then both have their row, and the first to come is untouched
    assert driver.rows(text_id)[later["digest"]] == later
    assert len(driver.rows(text_id)) == 2


@pytest.mark.parametrize("name", ["with spaces and + and %41", "Zürich/猫 und ß", "a" * 900])
def test_an_id_is_kept_as_its_sender_wrote_it(driver: TextDriver, name: str) -> None:
    # Given an id of any script
    text_id = driver.text_id(name)
    # When its text is sent
    text = "Übernachtung in Zürich: the room was clean. 🎉 Angela Merkel came."
    driver.send_text(text_id, text, "en")
    # Then its row has that id, and places are counted in characters
    row = driver.wait_for_text(text_id)
    assert row["text_id"] == text_id
    assert row["language"] == {"code": "en", "given": True}
    places = {(int(one["begin"]), int(one["end"])) for one in row["personal_data"] if one["type"] == "NAME"}
    assert (text.index("Angela"), text.index(" came")) in places


def test_many_texts_are_few_calls(driver: TextDriver) -> None:
    # Given fifty texts that wait together
    ids = [driver.text_id(str(number)) for number in range(50)]
    before = {operation: driver.calls(operation) for operation in BATCH}
    # When they are taken
    with driver.poller_off():
        text_insights.send(driver.cloud, driver.outputs, [text_insights.Message(one, f"{GOOD} {one}") for one in ids])
    for text_id in ids:
        driver.wait_for_text(text_id)
    # Then each has its row, and 25 shared a call
    assert {operation: driver.calls(operation) - before[operation] for operation in BATCH} == dict.fromkeys(BATCH, 2)


def test_a_text_that_is_too_large_is_refused_by_bytes_not_characters(driver: TextDriver) -> None:
    # Given a text of exactly 5,000 bytes, and one of fewer characters and more bytes
    fits, large = driver.text_id("fits"), driver.text_id("large")
    driver.send_text(fits, ("Very good. " * 455)[:5_000], "en")
    driver.send_text(large, "é" * 2_501, "en")
    # When they are analysed, Then the first has its insights and the second a reason
    assert driver.wait_for_text(fits)["size"] == 5_000
    row = driver.wait_for_text(large, "REJECTED")
    assert row["reason"]["code"] == "TextTooLarge"
    assert "5002 bytes" in row["reason"]["message"]


@pytest.mark.parametrize("personal_data", ["ignored", "marked"])
def test_personal_data_is_treated_as_asked(cloud: LocalCloud, fresh_stack: FreshStack, personal_data: str) -> None:
    # Given a stack with another setting
    settings = {**SMALL, "personal_data": personal_data}
    driver = TextDriver(cloud, fresh_stack(settings, architecture=ARCHITECTURE).outputs)
    before = driver.calls("comprehend.DetectPiiEntities")
    # When a text with a name in it is analysed
    text_id = driver.text_id()
    driver.send_text(text_id)
    row = driver.wait_for_text(text_id)
    # Then the name stands in the row, and is marked, or not looked for
    assert "Maria Lopez" in {entity.get("text") for entity in row["entities"]}
    assert ("personal_data" in row) is (personal_data == "marked")
    assert driver.calls("comprehend.DetectPiiEntities") - before == (1 if personal_data == "marked" else 0)


def test_a_run_that_gets_no_row_says_so(driver: TextDriver) -> None:
    # Given a stack whose queue nobody reads
    with driver.poller_off():
        # When the scenario runs
        report = text_insights.run(driver.cloud, driver.outputs, [TEXTS / "notice-neutral.txt"], patience_seconds=0.5)
    # Then it does not wait for ever, and does not claim to be complete
    assert [text.status for text in report.texts] == ["MISSING"]
    assert not report.complete


def test_texts_of_several_senders_do_not_mix(driver: TextDriver) -> None:
    # Given two runs at once
    reports: list[text_insights.Report] = []
    paths = [TEXTS / "review-lake-house.txt", TEXTS / "review-city-inn.txt"]
    runs = [
        threading.Thread(target=lambda: reports.append(text_insights.run(driver.cloud, driver.outputs, paths)))
        for _ in range(2)
    ]
    # When both have ended
    for one in runs:
        one.start()
    for one in runs:
        one.join(timeout=60)
    # Then both are complete, with ids of their own
    assert [report.complete for report in reports] == [True, True]
    assert len({text.text_id for report in reports for text in report.texts}) == 4
