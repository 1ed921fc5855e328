"""How a reading is scored: by what the stack itself would ask a person about."""

from __future__ import annotations

from typing import Any

from lambdas.document_processing.read_document.blocks import doubtful
from scenarios.accuracy import Score, score
from scenarios.drawing.documents import Document, Field, Table

THRESHOLD = 90
DRAWN = Document(
    "drawn",
    [],
    1,
    fields=[
        Field(1, "Name", "Anna Smith", (0.1, 0.1, 0.3, 0.12)),
        Field(1, "Policy", "PX-1", (0.1, 0.3, 0.3, 0.32)),
    ],
    tables=[Table(1, (("Item", "Price"), ("Tea", "3.00")))],
)


def read(name: str, value: str, confidence: float = 99.0, top: float = 0.1) -> dict[str, Any]:
    box = {"left": 0.1, "top": top, "width": 0.2, "height": 0.02}
    return {"name": name, "value": value, "confidence": confidence, "page": 1, "name_box": box, "value_box": box}


def scored(*fields: dict[str, Any], that_matter: tuple[str, ...] = (), tables: tuple[Any, ...] = ()) -> Score:
    _, doubts = doubtful(fields, that_matter, THRESHOLD)
    return score(DRAWN, {"fields": fields, "tables": tables}, doubts)


def test_a_missed_field_is_not_reviewed_where_the_stack_does_not_ask_for_it() -> None:
    # Given a reading without the policy, and no fields that matter
    # When it is scored, Then the policy is wrong, and nobody would have noticed
    found = scored(read("Name", "Anna Smith"))
    assert (found.right, found.wrong, found.reviewed_wrong) == (1, 1, 0)
    assert found.wrong_reviewed_share == 0


def test_a_missed_field_that_matters_is_reviewed() -> None:
    # Given the same reading, of a stack that knows that the policy matters
    found = scored(read("Name", "Anna Smith"), that_matter=("Name", "policy"))
    # Then it is wrong, and a person is asked for it, and only for it
    assert (found.wrong, found.reviewed_wrong, found.reviewed_right) == (1, 1, 0)


def test_a_field_that_does_not_matter_is_not_reviewed_however_unsure_it_is() -> None:
    # Given two unsure fields, of which one matters
    fields = read("Name", "Anna Srnith", 20), read("Policy", "PX-1", 20, top=0.3)
    # Then only that one counts as sent
    found = scored(*fields, that_matter=("Policy",))
    assert (found.reviewed_right, found.reviewed_wrong) == (1, 0)


def test_a_value_under_a_misread_key_is_found_by_its_place_and_asked_for_by_its_name() -> None:
    # Given a policy whose key was misread beyond likeness, and whose value is right and sure
    fields = read("Name", "Anna Smith"), read("P#@!", "PX-1", top=0.3)
    # Then it is right, and a person is asked for it all the same, as the stack does not find it by its name
    found = scored(*fields, that_matter=("Name", "Policy"))
    assert (found.right, found.reviewed_right) == (2, 1)


def test_a_value_is_reviewed_from_the_threshold_of_the_stack_down() -> None:
    # Given a right field just below the threshold and a wrong one on it
    fields = read("Name", "Anna Smith", THRESHOLD - 0.01), read("Policy", "PX-7", THRESHOLD, top=0.3)
    # Then the one is sent for nothing, and the other gets through
    found = scored(*fields)
    assert (found.reviewed_right, found.wrong, found.reviewed_wrong) == (1, 1, 0)


def test_cells_count_in_their_places_of_the_best_table_of_the_page() -> None:
    # Given a table that was read with a cell missing, and another one elsewhere
    tables = ({"page": 1, "rows": [["Item", "Price"], ["Tea"]]}, {"page": 2, "rows": [["Item", "Price"]]})
    # Then three of four cells are right
    found = scored(tables=tables)
    assert (found.cells_right, found.cells) == (3, 4)
