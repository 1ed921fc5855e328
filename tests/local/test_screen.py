"""What is shown: a readable log where there is no terminal, and lines that fit where there is one."""

from __future__ import annotations

import re

import pytest

from local.screen import Screen

STYLE = re.compile(r"\x1b\[[0-9;]*m")
MOVEMENT = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error passes for a terminal of 40 columns without colours."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")


def test_a_log_gets_one_line_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    # Given no terminal, When a step with details and a result is run
    with Screen().step("Deploying", "Deployed") as step:
        for number in range(5):
            step.detail(f"resource {number}")
        step.result = "5 resources"
    # Then it is one line on standard error, with the time
    shown = capsys.readouterr()
    assert re.fullmatch(r"Deploying \.\.\. 5 resources, 0\.\d s\n", shown.err)
    assert shown.out == ""


def test_the_line_of_a_step_that_fails_is_ended(capsys: pytest.CaptureFixture[str]) -> None:
    # Given no terminal, When a step fails and the complaint follows
    screen = Screen()
    with pytest.raises(ValueError, match="no"), screen.step("Deploying", "Deployed"):
        raise ValueError("no")
    screen.complain("it did not work")
    # Then the complaint stands on a line of its own
    assert capsys.readouterr().err == "Deploying ... \nError: it did not work\n"


def test_a_terminal_gets_a_line_that_fits(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a narrow terminal, When a step with long words and long details has ended
    with Screen().step("Doing something that takes many words to say", "Did what takes many words to say") as step:
        step.detail("and a detail that is longer than the terminal is wide")
        step.seconds = 12.34
    # Then its last line fits, and has the time; nothing that was shown before is longer than the terminal
    lines = [line for line in MOVEMENT.split(STYLE.sub("", capsys.readouterr().err)) if line.strip()]
    last = lines[-1].rstrip("\n")
    assert last.startswith("✓ Did what takes")
    assert last.endswith("12.3 s")
    assert max(len(line.rstrip("\n")) for line in lines) <= 40


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    # Given text that is long and looks like markup, When it is said
    text = "[bold]not markup[/bold] :smile: " + "long " * 60
    Screen().say(text)
    # Then it is unchanged, on one line
    assert capsys.readouterr().out == text + "\n"
