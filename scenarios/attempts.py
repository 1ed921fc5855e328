"""What somebody tries in a scenario, and whether it was refused as it should be."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import ClientError


@dataclass(frozen=True)
class Attempt:
    """Something that somebody tried. `refused` is what happened, with the error's code; `expected` what should have."""

    what: str
    expected: bool
    refused: bool
    code: str

    @property
    def right(self) -> bool:
        return self.expected == self.refused


def attempt(what: str, expected: bool, action: Callable[[], object]) -> Attempt:
    """Try it. Refused is what ends with an error of AWS's or of HTTP; any other error is raised."""
    try:
        action()
    except ClientError as error:
        return Attempt(what, expected, refused=True, code=str(error.response["Error"]["Code"]))
    except urllib.error.HTTPError as error:
        return Attempt(what, expected, refused=True, code=str(error.code))
    return Attempt(what, expected, refused=False, code="")
