"""What the function of data-protection shares, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from lambdas.data_protection.share_file.links import RefusedError, wanted


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"key": "shared/a b/ü.txt", "minutes": 1}, ("shared/a b/ü.txt", 60)),
        ({"key": "shared/x", "minutes": 15}, ("shared/x", 900)),
        ({"key": "shared/x"}, ("shared/x", 900)),
    ],
)
def test_what_is_shared_is_shared_for_as_long_as_was_asked(event: dict[str, Any], expected: tuple[str, int]) -> None:
    # Given a request within the bounds, When it is looked at, Then key and seconds come out as they were asked for
    assert wanted(event, prefix="shared/", longest_minutes=15) == expected


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"key": 7},
        {"key": "shared/"},
        {"key": "raw/x"},
        {"key": "/shared/x"},
        {"key": "shared/x", "minutes": 0},
        {"key": "shared/x", "minutes": 16},
        {"key": "shared/x", "minutes": "5"},
        {"key": "shared/x", "minutes": True},
        {"key": "shared/x", "minutes": 0.5},
    ],
)
def test_anything_else_is_refused_without_being_told_again(event: dict[str, Any]) -> None:
    # Given a request that asks for something else, When it is looked at
    with pytest.raises(RefusedError) as caught:
        wanted(event, prefix="shared/", longest_minutes=15)
    # Then it is refused in one sentence, and what was asked for is not in it
    assert str(caught.value).endswith(".")
    assert str(event.get("key") or "nothing") not in str(caught.value) or event["key"] == "shared/"
