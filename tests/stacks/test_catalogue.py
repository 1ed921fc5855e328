"""The catalogue: complete, consistent, quick to read, and true about what is built."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stacks.catalogue import (
    ARCHITECTURES,
    PAGES,
    THEMES,
    Architecture,
    UnknownArchitectureError,
    available,
    get,
    with_needs,
)

ROOT = Path(__file__).resolve().parents[2]

EXPECTED = {
    "vision": """image-labeling image-analysis face-search video-analysis video-stream video-frames custom-vision
        defect-inspection helmet-detection""",
    "documents": "document-processing enterprise-search",
    "language": "call-analytics text-insights email-filter summarization speech-synthesis appointment-bot",
    "recommend": """recommendations personalized-outreach demand-forecast customer-segmentation anomaly-detection
        loan-review""",
    "ingest": """stream-ingestion stream-analytics event-driven-etl low-code-prep database-migration hybrid-transfer
        data-lake big-data-prep labeling feature-store shared-files""",
    "train": """training-pipeline ml-orchestration training-job distributed-training lambda-training
        hyperparameter-tuning automl experiments bias-explain training-debug""",
    "serve": """realtime-endpoint bring-your-own-model pretrained-endpoint ab-testing blue-green shadow-testing
        canary-synthetics multi-model async-inference serverless-inference batch-transform inference-pipeline
        inference-api lambda-inference container-inference compiled-inference sql-inference edge""",
    "operate": "model-monitor ml-ci-cd ml-environment-factory multi-region model-vault cost-guard load-test",
    "secure": """private-network data-protection access-control ai-governance secure-studio audit code-quality""",
}

every = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: a.id)
built = pytest.mark.parametrize("architecture", available(), ids=lambda a: a.id)


def test_every_architecture_of_the_material_is_listed_once_under_its_theme() -> None:
    # Given the ids that the material describes, by theme
    expected = [(theme, id_) for theme, ids in EXPECTED.items() for id_ in ids.split()]
    # When the catalogue is read
    listed = [(a.theme, a.id) for a in ARCHITECTURES]
    # Then it holds just these
    assert sorted(listed) == sorted(expected)
    assert set(EXPECTED) == set(THEMES)


@every
def test_an_entry_is_complete_and_fits_a_table(architecture: Architecture) -> None:
    # Given any entry
    # Then its texts are there, in one line each, and say something of their own
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", architecture.id)
    for text in (architecture.title, architecture.story, architecture.flow, *architecture.facts):
        assert text == text.strip() != ""
        assert "\n" not in text
        assert "|" not in text, "would break a Markdown table"
    assert architecture.story.endswith(".")
    assert not architecture.title.endswith(".")
    assert "→" in architecture.flow or ";" in architecture.flow or "," in architecture.flow
    # And it names its services, each once
    assert architecture.services
    assert len(set(architecture.services)) == len(architecture.services)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", service) for service in architecture.services)


def test_titles_and_stories_are_not_copies_of_each_other() -> None:
    for field in ("title", "story", "flow"):
        texts = [getattr(a, field) for a in ARCHITECTURES]
        assert len(set(texts)) == len(texts), f"two entries share a {field}"


@every
def test_only_what_is_built_claims_a_stack_a_scenario_and_a_cost(architecture: Architecture) -> None:
    claims = (architecture.scenario, architecture.cost_idle, architecture.cost_per_thousand)
    if architecture.status == "available":
        assert architecture.stack is not None
        assert None not in claims
    else:
        # A stack may stand before all the rest does.
        assert claims == (None, None, None)


def test_something_is_built() -> None:
    assert "image-labeling" in [a.id for a in available()]


@built
def test_what_is_built_has_its_stack_its_scenario_and_its_page(architecture: Architecture) -> None:
    # Given an architecture that says it is available
    assert architecture.stack is not None
    assert architecture.scenario is not None
    module, _, name = architecture.stack.partition(":")
    # Then its stack lies where the layout says, under its theme
    assert module == f"stacks.{architecture.theme}.{architecture.id.replace('-', '_')}"
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    assert re.search(rf"^class {name}\(", source, re.MULTILINE)
    # And its scenario can be run
    assert architecture.scenario == f"scenarios.{architecture.id.replace('-', '_')}"
    assert callable(importlib.import_module(architecture.scenario).run)
    # And it has a page
    assert (ROOT / architecture.page).is_file()


def test_pages_are_planned_and_named_once() -> None:
    names = [page.name for page in PAGES]
    assert len(set(names)) == len(names)
    assert {page.status for page in PAGES} == {"planned"}
    assert len(names) == 36


@every
def test_what_is_needed_is_there_and_comes_first(architecture: Architecture) -> None:
    # Given any entry, When it is listed with what it needs
    order = [one.id for one in with_needs(architecture)]
    # Then it comes last, each once, and everything after what it needs itself
    assert order[-1] == architecture.id
    assert len(set(order)) == len(order)
    assert all(order.index(needed) < order.index(one) for one in order for needed in get(one).needs)


def test_an_unknown_id_gets_one_line_that_names_the_close_ones() -> None:
    # Given an id with a common misspelling
    with pytest.raises(UnknownArchitectureError) as caught:
        get("image_labelling")
    # Then the error names what was probably meant, in one line
    assert str(caught.value).startswith("There is no architecture 'image_labelling'. Did you mean image-labeling")
    assert "\n" not in str(caught.value)


def test_an_id_that_resembles_nothing_is_told_where_the_list_is() -> None:
    with pytest.raises(LookupError, match="python -m local list"):
        get("zzzz")


def test_get_returns_the_entry() -> None:
    assert get("audit").id == "audit"


def test_reading_the_catalogue_imports_neither_cdk_nor_a_stack() -> None:
    # Given a fresh interpreter
    code = (
        "import sys, stacks.catalogue as c;"
        "heavy = [m for m in sys.modules if m.split('.')[0] in {'aws_cdk', 'jsii', 'boto3', 'pydantic'}"
        " or m.startswith(('scenarios.', 'stacks.')) and m != 'stacks.catalogue'];"
        "print(len(c.ARCHITECTURES), heavy)"
    )
    # When the catalogue alone is imported there
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    # Then nothing heavy came with it
    assert done.stdout.split(maxsplit=1) == [str(len(ARCHITECTURES)), "[]\n"]
