"""speech-synthesis: what a text is before Polly is asked, and what a message announces."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdas.speech_synthesis.speak.texts import MOST_BYTES, RefusedError, check_size, script
from lambdas.speech_synthesis.speak.uploads import UnreadableMessageError, Upload, upload


def refused(content: bytes, kind: Any = "text") -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        script(content, kind)
    return caught.value


def event(**changes: Any) -> str:
    detail = {"bucket": {"name": "texts"}, "object": {"key": "texts/a b+c.txt", "version-id": "v1"}}
    return json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail, **changes})


@pytest.mark.parametrize(
    ("content", "kind", "billed", "short"),
    [
        (b"Hello", "text", 5, True),
        ("\ufeffGrüße".encode(), "text", 5, True),
        (b"<speak><p>Hello</p></speak>", "ssml", 5, True),
        (b"<speak>a &amp; b</speak>", "ssml", 5, True),
        (b"a" * 3_000, "text", 3_000, True),
        (b"a" * 3_001, "text", 3_001, False),
        (b"a" * 100_000, "text", 100_000, False),
        (b"<speak>" + b"<p>a</p>" * 800 + b"</speak>", "ssml", 800, False),
    ],
)
def test_a_text_is_billed_without_tags_and_spoken_at_once_while_it_is_short(
    content: bytes, kind: Any, billed: int, short: bool
) -> None:
    found = script(content, kind)
    assert (found.billed, found.is_short) == (billed, short)


def test_too_long_texts_are_refused_with_the_mend() -> None:
    for content, kind in ((b"a" * 100_001, "text"), (b"<speak>" + b"<p>a</p>" * 25_001 + b"</speak>", "ssml")):
        assert refused(content, kind).code == "TextTooLong"
        assert "split it" in refused(content, kind).message
    check_size(MOST_BYTES)
    with pytest.raises(RefusedError, match="split it"):
        check_size(MOST_BYTES + 1)


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"<speak>\n\n<p>a</speak>", 3), (b"no tags", 1), (b"<speak>\n&unknown;</speak>", 2)],
)
def test_ssml_that_is_no_xml_is_refused_with_its_line(content: bytes, line: int) -> None:
    error = refused(content, "ssml")
    assert (error.code, error.line) == ("InvalidSsml", line)


def test_ssml_that_could_grow_or_reach_outside_is_refused() -> None:
    bomb = b'<!DOCTYPE speak [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>\n<speak>&b;</speak>'
    outside = b'<!DOCTYPE speak SYSTEM "file:///etc/passwd">\n<speak>a</speak>'
    assert {refused(content, "ssml").code for content in (bomb, outside)} == {"InvalidSsml"}


def test_nothing_to_say_is_refused() -> None:
    assert refused(b" \n").code == "EmptyText"
    assert refused(b"<speak> <break/> </speak>", "ssml").code == "EmptyText"


def test_an_event_names_a_version() -> None:
    assert upload(event()) == Upload("texts", "texts/a b+c.txt", "v1")
    assert upload(event(**{"detail-type": "Object Deleted"})) is None


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", event(source="other"), event(detail={}), event(detail={"bucket": {"name": "b"}, "object": {}})],
)
def test_what_is_no_event_is_unreadable(body: str) -> None:
    with pytest.raises(UnreadableMessageError):
        upload(body)


def test_an_event_of_an_unversioned_bucket_is_unreadable() -> None:
    detail = {"bucket": {"name": "b"}, "object": {"key": "k.txt"}}
    with pytest.raises(UnreadableMessageError, match="must be versioned"):
        upload(event(detail=detail))


def test_the_sound_of_every_version_has_a_name_of_its_own_in_plain_letters() -> None:
    one = Upload("b", "texts/Grüße an Ann.txt", "v1")
    others = [Upload("b", "texts/Grüße an Ann.txt", "v2"), Upload("b", "texts/other/Grüße an Ann.txt", "v1")]
    names = [each.output("spoken/") for each in (one, *others)]
    assert len(set(names)) == 3
    assert names[0].startswith("spoken/Gr-e-an-Ann-")
    assert one.output("spoken/") == names[0]
    assert Upload("b", "texts/你好.txt", "v1").output("spoken/").startswith("spoken/text-")


@pytest.mark.parametrize(("key", "kind"), [("a.txt", "text"), ("a.SSML", "ssml"), ("a.md", None)])
def test_the_ending_says_what_a_text_is(key: str, kind: Any) -> None:
    assert Upload("b", key, "v").kind == kind
