"""What the columns of a case are: a JSON file that training, endpoint and monitor agree on.

    {"label": {"name": "claimed"},
     "features": [{"name": "price", "type": "numeric"}, {"name": "category", "type": "categorical"}, ...],
     "probability": "probability", "decision": "decision"}

`features` stand in the order in which the model takes them, which is what gives a captured CSV row its names. A feature
with `"compared": false` is read, and its missing and wrong values are judged, but its distribution is not: a weekday
has one value in any hour, whatever the world does. `probability` and `decision` name the members of the model's answer
in JSON (in CSV they are its first and second value); these two may be left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["number", "string"]


class UnusableInputError(Exception):
    """The input is not what the job is for. `str()` is one line that says what to mend."""


@dataclass(frozen=True)
class Feature:
    """A column that the model takes."""

    name: str
    kind: Kind
    compared: bool = True


@dataclass(frozen=True)
class Schema:
    """The columns of a case."""

    features: tuple[Feature, ...]
    label: str = ""
    probability: str = "probability"
    decision: str = "decision"

    @classmethod
    def read(cls, file: Path) -> Schema:
        """Raises UnusableInputError."""
        told = read_json(file)
        try:
            features = tuple(
                Feature(str(each["name"]), _KINDS[each["type"]], bool(each.get("compared", True)))
                for each in told["features"]
            )
            schema = cls(
                features,
                str(told["label"]["name"]),
                str(told.get("probability", "probability")),
                str(told.get("decision", "decision")),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UnusableInputError(
                f"{file.name} is no schema: it needs a label, and features with a name and a type."
            ) from None
        if not features or len({feature.name for feature in features}) < len(features):
            raise UnusableInputError(f"{file.name} is no schema: its features need different names.")
        return schema

    @classmethod
    def of_statistics(cls, statistics: dict[str, Any]) -> Schema:
        """The columns of a statistics.json, for a container that is given no schema."""
        return cls(
            tuple(
                Feature(each["name"], "number" if "numerical_statistics" in each else "string")
                for each in statistics["features"]
            )
        )

    @property
    def outputs(self) -> tuple[Feature, ...]:
        """The columns of an answer."""
        return Feature(self.probability, "number"), Feature(self.decision, "number")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)


_KINDS: dict[str, Kind] = {"numeric": "number", "categorical": "string"}


def read_json(file: Path) -> Any:
    """Raises UnusableInputError for a file that is missing or no JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise UnusableInputError(f"There is no file {file.name} in {file.parent}.") from None
    except ValueError:
        raise UnusableInputError(f"{file.name} is no JSON.") from None


def write_json(file: Path, value: Any) -> None:
    """A number that JSON does not have (NaN) is a mistake of ours: ValueError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
