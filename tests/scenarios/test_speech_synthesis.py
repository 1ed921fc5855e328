"""Turn text into speech: what a text becomes, and that it becomes so once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import LocalCloud
from scenarios import speech_synthesis
from tests.conftest import SharedStacks
from tests.scenarios.speech import ARCHITECTURE, LONG, SHORT, SMALL, SpeechDriver

SAMPLES = Path(__file__).parents[2] / "samples" / "speech"


@pytest.fixture
def driver(cloud: LocalCloud, shared_stacks: SharedStacks) -> Iterator[SpeechDriver]:
    driver = SpeechDriver(cloud, shared_stacks(ARCHITECTURE, SMALL))
    driver.clean()
    yield driver
    driver.clean()


def test_the_samples_are_spoken_or_rejected_with_their_line(driver: SpeechDriver) -> None:
    # Given the project's texts: plain, SSML, a long one, and two that are invalid
    texts = sorted(SAMPLES.iterdir())
    # When they are driven through the stack
    report = speech_synthesis.run(driver.cloud, driver.outputs, texts)
    # Then each has its result
    assert report.complete, report
    found = {text.path.name: text for text in report.texts}
    spoken = {name for name, text in found.items() if text.status == "SPOKEN"}
    assert spoken == {"opening-hours.txt", "departure.ssml", "lighthouse.txt"}
    assert [name for name, text in found.items() if text.by_task] == ["lighthouse.txt"]
    assert {name: text.line for name, text in found.items() if text.status == "REJECTED"} == {
        "unclosed.ssml": 4,
        "unknown-tag.ssml": 3,
    }
    # And a longer text has a longer sound
    assert len(found["lighthouse.txt"].sound) > 8 * len(found["opening-hours.txt"].sound)


def test_a_short_text_is_spoken_by_one_call(driver: SpeechDriver) -> None:
    # Given a short text
    before = driver.calls()
    # When it is uploaded
    key = driver.key()
    row = driver.wait_for(key, driver.upload(key))
    # Then its sound is an MP3 file of the text's length, and the row says what it cost
    sound = driver.sound(row)
    assert sound.format == "MP3"
    assert 1.0 < sound.frames / sound.samplerate < 4.0
    assert (row["characters"], row["voice"], row["engine"]) == (len(SHORT), "Joanna", "neural")
    assert "reason" not in row
    assert driver.calls() == before + 1


def test_a_long_text_is_spoken_by_a_task_whose_end_is_recorded(driver: SpeechDriver) -> None:
    # Given a text longer than an answer may be
    key = driver.key()
    # When it is uploaded
    row = driver.wait_for(key, driver.upload(key, LONG))
    # Then a task has spoken all of it
    sound = driver.sound(row)
    assert row["task_id"] in row["output_key"]
    assert row["characters"] == len(LONG)
    assert sound.frames / sound.samplerate > 120


def test_the_same_event_twice_is_one_row_and_one_paid_call(driver: SpeechDriver) -> None:
    # Given a text that was spoken
    key = driver.key()
    version = driver.upload_quietly(key)
    event = driver.event(key, version)
    before = driver.calls()
    # When its event comes twice at once, and once more later
    driver.send(event, event)
    row = driver.wait_for(key, version, hurry=True)
    driver.send(event)
    driver.wait_until_empty(hurry=True)
    # Then Polly was asked once, and the row is as it was
    assert driver.calls() == before + 1
    assert driver.rows(key) == {version: row}


def test_two_versions_of_a_text_are_two_sounds(driver: SpeechDriver) -> None:
    key = driver.key()
    first, second = driver.upload(key, b"One."), driver.upload(key, b"One, two, three, four, five, six, seven.")
    short, long = driver.wait_for(key, first), driver.wait_for(key, second)
    assert short["output_key"] != long["output_key"]
    assert driver.sound(long).frames > driver.sound(short).frames


@pytest.mark.parametrize("name", ["with blank+plus%41.txt", "Grüße 你好.TXT", "a&b='c'.ssml"])
def test_a_key_is_read_and_stored_as_the_user_wrote_it(driver: SpeechDriver, name: str) -> None:
    # Given a key that is encoded somewhere on its way, or is not ASCII
    key = driver.key(name)
    body = b"<speak>Hello.</speak>" if name.endswith(".ssml") else b"Hello."
    # When it is uploaded
    row = driver.wait_for(key, driver.upload(key, body))
    # Then the row bears the user's own key, and the sound one of plain letters
    assert row["document"] == f"{driver.bucket}/{key}"
    assert row["output_key"].isascii()
    assert " " not in row["output_key"]


def test_what_is_no_text_or_lies_elsewhere_is_left_alone(driver: SpeechDriver) -> None:
    key = driver.key("picture.jpg")
    driver.upload(key)
    driver.s3.put_object(Bucket=driver.bucket, Key="elsewhere/text.txt", Body=SHORT)
    assert driver.never(lambda: driver.rows(key) or driver.rows("elsewhere/text.txt"))


def test_no_line_of_the_log_holds_a_key_or_a_text(driver: SpeechDriver) -> None:
    key = driver.key("Mrs-Miller-divorce.txt")
    driver.wait_for(key, driver.upload(key, b"Confidential matters of Mrs Miller."))
    bad = driver.key("Mrs-Miller-affair.ssml")
    driver.wait_for(bad, driver.upload(bad, b"<speak><confidential/></speak>"), "REJECTED")
    lines = "".join(driver.log_lines())
    assert "Miller" not in lines
    assert "onfidential" not in lines
