"""What an architecture needs here beyond every set-up, and what is said to someone who has not installed it."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import pytest

from local import cli
from stacks import catalogue


@pytest.mark.parametrize(
    ("models", "package", "mend"),
    [("language", "spacy", "make setup-language"), ("training", "xgboost", "make setup-training")],
)
def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    models: Any, package: str, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an architecture that needs a set of models, which is there
    needing = dataclasses.replace(catalogue.get("image-labeling"), models=models)
    cli._require_models(needing)

    # When its package is missing, then one line says how to get it
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else found(name))
    with pytest.raises(cli.FailedError, match=mend):
        cli._require_models(needing)
    # And those that do not need it are not bothered
    cli._require_models(catalogue.get("image-labeling"))
