"""The deliveries' world: as its page says, and the same for the same seed."""

from __future__ import annotations

import pandas as pd
import pytest

import features
from pipelines.definition.archive import FOLDER
from pipelines.deliveries import world
from pipelines.tumors import samples


def test_a_seed_gives_the_same_deliveries() -> None:
    # When deliveries are drawn, then the seed decides which
    pd.testing.assert_frame_equal(world.draw(300, 1), world.draw(300, 1))
    assert not world.draw(300, 1).equals(world.draw(300, 2))


def test_the_usual_world_is_as_it_is_described() -> None:
    # Given many deliveries
    frame = world.draw(60_000, 5)
    # Then claims, gaps and categories are as often as the page says
    assert tuple(frame.columns) == world.COLUMNS
    assert 0.06 < frame["claimed"].mean() < 0.07
    assert frame["temperature"].isna().mean() == pytest.approx(0.04, abs=0.005)
    assert frame["transit_hours"].isna().mean() == pytest.approx(0.06, abs=0.005)
    assert frame["weight_kg"].isna().mean() == pytest.approx(0.25, abs=0.01)
    assert frame["price"].median() == pytest.approx(38, rel=0.02)
    assert set(frame["category"]) == set(world.CATEGORIES)
    # And the same degrees spoil one category and not another
    warm = frame[frame["temperature"] > 8]
    assert warm[warm["category"] == "fish"]["claimed"].mean() > 5 * warm[warm["category"] == "fruit"]["claimed"].mean()


def test_the_shifted_world_has_its_three_changes() -> None:
    # Given many deliveries from before and after
    before, after = world.draw(60_000, 5), world.draw(60_000, 6, shifted=True)
    # Then prices are up, a category is new, and one carrier's sensors hang
    assert after["price"].mean() / before["price"].mean() == pytest.approx(1.3, abs=0.02)
    assert (after["category"] == "ready-meals").mean() == pytest.approx(1 / 6, abs=0.01)
    assert set(after[after["carrier"] == "van"]["temperature"].dropna()) == {9.0}
    assert after[after["carrier"] != "van"]["temperature"].nunique() > 50
    assert before[before["carrier"] == "van"]["temperature"].nunique() > 50


def test_the_schemas_are_those_of_the_data() -> None:
    # Then label and features of each case stand in its schema, in order
    deliveries = features.Schema.read(FOLDER / "deliveries" / "schema.json")
    assert (deliveries.label, *deliveries.features) == world.COLUMNS
    frame = samples.load()
    tumors = features.Schema.read(FOLDER / "tumors" / "schema.json")
    assert (tumors.label, *tumors.features) == tuple(frame.columns)
    assert (len(frame), int(frame["malignant"].sum())) == (569, 212)


def test_a_schema_of_another_kind_is_refused() -> None:
    # Given a column of a type that nobody knows
    with pytest.raises(features.DataError, match="has the type date for column day"):
        features.Schema.of({"label": {"name": "x"}, "features": [{"name": "day", "type": "date"}]})
