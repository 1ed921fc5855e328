"""What a message says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.image_labeling.label_image.events import UnreadableMessageError, comparable_sequencer, uploads
from tests.unit.conftest import BUCKET, delivered, notified

keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)
sequencers = st.text("0123456789ABCDEF", min_size=1, max_size=24)


@given(keys)
def test_a_key_comes_out_as_it_was_in_both_shapes(key: str) -> None:
    # Given any key, told of by EventBridge unencoded and by S3 itself form-encoded
    for event in (delivered(key, "v1"), notified(key, "v1")):
        # When the message is read
        (upload,) = uploads(json.dumps(event))
        # Then it is the key of the object
        assert (upload.bucket, upload.key, upload.version) == (BUCKET, key, "v1")


@pytest.mark.parametrize("key", ["uploads/a b.jpg", "uploads/a+b.jpg", "uploads/a%41b%2B.jpg", "uploads/Zürich 猫.jpg"])
def test_a_key_of_eventbridge_is_not_decoded(key: str) -> None:
    (upload,) = uploads(json.dumps(delivered(key, "v1")))
    assert upload.key == key
    assert upload.image == f"{BUCKET}/{key}"


def test_a_notified_key_is_decoded_as_a_form_is() -> None:
    # Given S3's own example of an encoded key, and one with a plus and letters beyond ASCII
    event = notified("", "v1")
    for encoded, key in (("red+flower.jpg", "red flower.jpg"), ("1%2B1%3DZ%C3%BC.jpg", "1+1=Zü.jpg")):
        event["Records"][0]["s3"]["object"]["key"] = encoded
        # When it is read, then it is the object's key
        assert [upload.key for upload in uploads(json.dumps(event))] == [key]


def test_all_records_of_a_notification_are_read() -> None:
    event = {"Records": notified("a.jpg", "v1")["Records"] + notified("b.jpg", "v2")["Records"]}
    assert [upload.key for upload in uploads(json.dumps(event))] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    "body",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET},
        {**delivered("a.jpg", "v1"), "detail-type": "Object Deleted"},
        {"Records": [{**notified("a.jpg", "v1")["Records"][0], "eventName": "ObjectRemoved:Delete"}]},
    ],
)
def test_what_creates_nothing_announces_nothing(body: dict[str, Any]) -> None:
    assert uploads(json.dumps(body)) == []


def _without(*path: str) -> dict[str, Any]:
    event = delivered("secret-name.jpg", "v1")
    parent = event
    for name in path[:-1]:
        parent = parent[name]
    del parent[path[-1]]
    return event


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        "[]",
        "null",
        "{}",
        '{"source": "aws.ec2", "detail-type": "Object Created"}',
        '{"Records": {}}',
        '{"Records": [1]}',
        '{"Records": [{"eventName": "ObjectCreated:Put"}]}',
        json.dumps(_without("detail")),
        json.dumps(_without("detail", "object", "key")),
        json.dumps(_without("detail", "bucket", "name")),
        json.dumps(_without("detail", "object", "version-id")),
        json.dumps(delivered("lone \ud800.jpg", "v1")),
        json.dumps(notified("a.jpg", "v1")).replace("a.jpg", "%FF.jpg"),
    ],
)
def test_what_is_no_event_is_refused_without_quoting_it(body: str) -> None:
    # Given a message that is no whole event
    # When it is read
    with pytest.raises(UnreadableMessageError) as refused:
        uploads(body)
    # Then the error says something, and nothing of what the message holds
    assert str(refused.value)
    assert "secret-name" not in str(refused.value)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["Records", "source", "detail", "detail-type", "eventName", "s3", "object", "key", "bucket"]
                ),
                inner,
            )
        ),
    )
)
def test_no_message_does_more_than_be_unreadable(body: Any) -> None:
    # Given any JSON at all
    try:
        announced = uploads(json.dumps(body))
    except UnreadableMessageError:
        return
    # Then it is refused or announces nothing: never another error
    assert announced == []


@given(sequencers, sequencers)
def test_sequencers_compare_as_padded_on_the_right(one: str, other: str) -> None:
    # Given two sequencers, ordered as S3 says: the shorter one filled up with zeros
    length = max(len(one), len(other))
    expected = int(one.ljust(length, "0"), 16) < int(other.ljust(length, "0"), 16)
    # Then their comparable forms are in the same order, in either case of letters
    assert (comparable_sequencer(one) < comparable_sequencer(other)) == expected
    assert (comparable_sequencer(one.lower()) < comparable_sequencer(other)) == expected
