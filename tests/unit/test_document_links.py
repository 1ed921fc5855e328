"""Links to a review: only what was signed here, only for its time, and by the key that its id names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.document_processing.links import BadLinkError, ExpiredLinkError, Key, Keys, sign, verify

REVIEW = "0123456789abcdef0123456789abcdef01234567"
KEY = Key("11111111-2222-3333-4444-555555555555", b"secret")
KEYS = {KEY.id: KEY}


def test_a_link_leads_to_its_review_until_it_ends() -> None:
    # Given a link that is good until 1000
    link = sign(REVIEW, 1000, KEY)
    # When it is followed in time, Then it leads to its review
    assert verify(link, KEYS.get, 999) == REVIEW
    # When it is followed later, Then it is told to be too old
    with pytest.raises(ExpiredLinkError):
        verify(link, KEYS.get, 1000)


@given(st.data())
def test_a_link_with_any_sign_changed_is_refused(data: st.DataObject) -> None:
    # Given a link with one sign changed
    link = sign(REVIEW, 1000, KEY)
    place = data.draw(st.integers(0, len(link) - 1))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    other = data.draw(st.sampled_from([letter for letter in letters if letter != link[place]]))
    # When it is followed, Then it is refused
    with pytest.raises(BadLinkError):
        verify(link[:place] + other + link[place + 1 :], KEYS.get, 0)


@given(st.text(max_size=600))
def test_no_text_is_taken_for_a_link(text: str) -> None:
    with pytest.raises(BadLinkError):
        verify(text, KEYS.get, 0)


def test_a_link_of_another_key_or_of_none_is_refused() -> None:
    # Given a link signed with another key under the same id, and one whose key is gone
    for link, keys in ((sign(REVIEW, 9, Key(KEY.id, b"other")), KEYS), (sign(REVIEW, 9, KEY), {})):
        # When it is followed, Then it is refused
        with pytest.raises(BadLinkError):
            verify(link, keys.get, 0)


class _Secrets:
    """A secret with two versions, and a count of how often it is read."""

    def __init__(self) -> None:
        self.versions = {"old-version": "one"}
        self.current = "old-version"
        self.reads = 0

    def get_secret_value(self, SecretId: str, VersionId: str | None = None) -> dict[str, Any]:  # noqa: N803
        self.reads += 1
        version = VersionId or self.current
        return {"VersionId": version, "SecretString": self.versions[version]}


def test_a_rotated_key_signs_from_then_on_and_links_of_the_one_before_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a link signed before the secret got a new version
    secrets = _Secrets()
    before = sign(REVIEW, 1000, Keys(secrets, "arn").newest())
    secrets.versions["new-version"] = "two"
    secrets.current = "new-version"
    # When another worker signs and verifies
    keys = Keys(secrets, "arn")
    after = sign(REVIEW, 1000, keys.newest())
    # Then the new version signs, both links hold, and each version is read once
    assert after != before
    reads = secrets.reads
    assert {verify(link, keys.of, 0) for link in (before, after, before)} == {REVIEW}
    assert secrets.reads == reads + 1
