"""Synthesized stacks, made once for all tests of this folder."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import use_bundled_node
from local.assembly import synthesize
from stacks.policy.template import Template, read

# Before any test module imports CDK.
use_bundled_node()

OWN_KEY: Mapping[str, Any] = {
    name: {"kms_key": "own", "alarm_email": "someone@example.com"} for name in ("image-labeling", "text-insights")
}

# What a deployment to an account adds. Here it stands beside what is synthesized anyway.
SELF_DESTRUCT: Mapping[str, Any] = {"stacks": ["text-insights", "image-labeling"], "at": "2027-03-01T09:30:00Z"}
TAGS = {"sandbox:owner": "ana"}


@pytest.fixture(scope="session")
def assemblies() -> dict[str, Path]:
    """Cloud assemblies of all that is built, as for AWS and for this machine, and of some with an own key.

    Do not change them.
    """
    with ThreadPoolExecutor(2) as pool:
        made = {
            "aws": pool.submit(synthesize, None, "lambda"),
            "own key": pool.submit(
                synthesize, ",".join(OWN_KEY), "lambda", OWN_KEY, tags=TAGS, self_destruct=SELF_DESTRUCT
            ),
            "local": pool.submit(synthesize, None, "local"),
        }
        return {variant: future.result() for variant, future in made.items()}


@pytest.fixture(params=["aws", "own key"])
def template(request: pytest.FixtureRequest, assemblies: dict[str, Path]) -> Template:
    """The template of image-labeling with keys that AWS manages, then with one of its own; a copy to work on."""
    return image_labeling(assemblies[request.param])


@pytest.fixture
def default(assemblies: dict[str, Path]) -> Template:
    """The template of image-labeling as it is by default; a copy to work on."""
    return image_labeling(assemblies["aws"])


def image_labeling(assembly: Path) -> Template:
    """A copy of the template of image-labeling in an assembly."""
    found = next(template for template in read(assembly) if template.architecture == "image-labeling")
    return replace(found, body=copy.deepcopy(found.body))
