"""What one run of a scenario costs, in US dollars, in us-east-1, without free tier."""

from __future__ import annotations

from collections.abc import Mapping

from stacks import catalogue
from stacks.policy import prices

# How many of the inputs that the catalogue counts by the thousand a scenario sends: the samples that come with it.
INPUTS: Mapping[str, int] = {
    "access-control": 160,
    "audit": 20,
    "call-analytics": 6,
    "cost-guard": 1,
    "data-protection": 10,
    "document-processing": 10,
    "image-labeling": 6,
    "model-monitor": 0,
    "model-vault": 3,
    "private-network": 1,
    "realtime-endpoint": 2000,
    "secure-studio": 50,
    "speech-synthesis": 5,
    "text-insights": 20,
    "training-pipeline": 1,
}


# Machines that a scenario has running beside that, in hours at a price each.
_HOUR = 730.0
_NOTEBOOK_HOURS = 4 * 0.25
_UPDATE_HOURS = 2.0


def scenario_cost(architecture_id: str) -> float:
    """US dollars for one run of its scenario, by the catalogue's price of a thousand inputs and the machines it starts.

    Raises KeyError for an architecture whose inputs nobody has counted.
    """
    architecture = catalogue.get(architecture_id)
    usd = (architecture.cost_per_thousand or 0.0) * INPUTS[architecture_id] / 1000
    if architecture_id == "cost-guard":
        usd += _NOTEBOOK_HOURS * prices.price("machine-t3-medium").usd
    if architecture_id == "realtime-endpoint":
        # A model is trained first, and for the time of an update its machines stand twice.
        usd += scenario_cost("training-pipeline") + _UPDATE_HOURS * (architecture.cost_standing or 0.0) / _HOUR
    return round(usd, 2)
