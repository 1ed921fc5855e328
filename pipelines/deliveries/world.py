"""The world that the deliveries are drawn from: a shop sends chilled food, and some customers claim that it spoiled.

The project made this world up, so the truth is known and written here; nothing of it was measured anywhere. One row is
one delivery. Columns, in this order (`COLUMNS`):

| column | unit | how it is drawn |
|---|---|---|
| `claimed` | 0 or 1 | the label, by the risk below: 6 to 7 % are 1 |
| `price` | EUR | log-normal around 38 |
| `category` | | dairy, fish, fruit, greens, meat |
| `carrier` | | courier, nightline, parcel, van |
| `temperature` | °C | what the sensor in the box read on average: normal, warmer with some carriers; 4 % missing |
| `transit_hours` | h | log-normal, longer with some carriers; 6 % missing |
| `weight_kg` | kg | follows price and category; the carrier `parcel` weighs no box, so some 25 % are missing |
| `weekday` | | day of dispatch, mon to sun |

**Risk.** Each category has a band of temperatures that it stands (`BANDS`). Damage is the degrees outside of the band,
times the hours on the road; cold counts as heat does, as frost ruins fruit and greens. The log-odds of a claim are

    -5.65 + 1.8 * log(1 + damage / 4) + 0.6 * log(price / 38) + 1.6 if sent by parcel from Friday to Sunday

so temperature is neither good nor bad by itself: it depends on the category. A model that adds up its columns, such as
a logistic regression, cannot see that; trees can.

**The shifted world** (`shifted=True`) has three changes at once:

- prices are 30 % higher, and customers have got used to it: risk goes by the price before the rise;
- a sixth of the deliveries are of a new category, `ready-meals`, which stands less than any other;
- the sensors of the carrier `van` hang: they read 9.0 °C whatever the truth is. Risk goes by the truth.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

Column = npt.NDArray[Any]

LABEL: Final = "claimed"
COLUMNS: Final = (LABEL, "price", "category", "carrier", "temperature", "transit_hours", "weight_kg", "weekday")
FEATURES: Final = COLUMNS[1:]

# What each category stands, from and to, in °C.
BANDS: Final = {
    "dairy": (0.0, 7.0),
    "fish": (-1.0, 3.5),
    "fruit": (5.0, 13.0),
    "greens": (1.5, 8.0),
    "meat": (-1.0, 5.5),
    "ready-meals": (1.0, 3.0),
}
CATEGORIES: Final = {"dairy": 0.26, "fish": 0.14, "fruit": 0.22, "greens": 0.2, "meat": 0.18}
NEW_CATEGORY: Final = "ready-meals"
NEW_CATEGORY_SHARE: Final = 1 / 6
# Share of the deliveries, mean of the temperature in °C, median of the hours.
CARRIERS: Final = {
    "courier": (0.2, 4.0, 5.0),
    "nightline": (0.15, 4.5, 14.0),
    "parcel": (0.24, 6.0, 22.0),
    "van": (0.41, 4.5, 8.0),
}
STUCK_CARRIER: Final = "van"
STUCK_TEMPERATURE: Final = 9.0
PRICE_RISE: Final = 1.3
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEKEND: Final = ("fri", "sat", "sun")

_USUAL_PRICE = 38.0
_KG_PER_EURO = {"dairy": 0.13, "fish": 0.05, "fruit": 0.2, "greens": 0.15, "meat": 0.08, "ready-meals": 0.1}


def draw(count: int, seed: int, *, shifted: bool = False) -> pd.DataFrame:
    """`count` deliveries, the same ones for the same seed; `shifted` draws them from the changed world.

    The columns are `COLUMNS`, the label first. Missing values are NaN, an empty field in a CSV.
    """
    random = np.random.default_rng(seed)
    category = random.choice(list(CATEGORIES), size=count, p=list(CATEGORIES.values()))
    carrier = random.choice(list(CARRIERS), size=count, p=[share for share, _, _ in CARRIERS.values()])
    weekday = random.choice(list(WEEKDAYS), size=count)
    if shifted:
        category = np.where(random.random(count) < NEW_CATEGORY_SHARE, NEW_CATEGORY, category)

    usual_price = _USUAL_PRICE * np.exp(random.normal(0.0, 0.45, count))
    warmth = random.normal([CARRIERS[name][1] for name in carrier], 2.4)
    hours = np.array([CARRIERS[name][2] for name in carrier]) * np.exp(random.normal(0.0, 0.5, count))
    weight = usual_price * [_KG_PER_EURO[name] for name in category] * np.exp(random.normal(0.0, 0.2, count))

    claimed = random.random(count) < _risk(usual_price, category, carrier, warmth=warmth, hours=hours, day=weekday)

    read = np.where(carrier == STUCK_CARRIER, STUCK_TEMPERATURE, warmth) if shifted else warmth
    frame = pd.DataFrame(
        {
            LABEL: claimed.astype(int),
            "price": (usual_price * (PRICE_RISE if shifted else 1.0)).round(2),
            "category": category.astype(str),
            "carrier": carrier.astype(str),
            "temperature": read.round(1),
            "transit_hours": hours.round(1),
            "weight_kg": weight.round(2),
            "weekday": weekday.astype(str),
        }
    )
    frame.loc[random.random(count) < 0.04, "temperature"] = np.nan
    frame.loc[random.random(count) < 0.06, "transit_hours"] = np.nan
    frame.loc[(carrier == "parcel") | (random.random(count) < 0.01), "weight_kg"] = np.nan
    return frame


def _risk(price: Column, category: Column, carrier: Column, *, warmth: Column, hours: Column, day: Column) -> Column:
    """The chance of a claim, 0 to 1, by the truth: the usual price and the real temperature."""
    low = np.array([BANDS[name][0] for name in category])
    high = np.array([BANDS[name][1] for name in category])
    damage = (np.maximum(low - warmth, 0.0) + np.maximum(warmth - high, 0.0)) * hours
    lies_over = (carrier == "parcel") & np.isin(day, WEEKEND)
    odds = -5.65 + 1.8 * np.log1p(damage / 4.0) + 0.6 * np.log(price / _USUAL_PRICE) + 1.6 * lies_over
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))
