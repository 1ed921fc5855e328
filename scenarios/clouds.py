"""Which scenario runs on which cloud. One that a cloud cannot run says why: it is told and counted as not run."""

from __future__ import annotations

from collections.abc import Mapping

# By architecture: why its scenario is not run there, None where it is.
AWS: Mapping[str, str | None] = {
    "access-control": None,
    "audit": None,
    "call-analytics": None,
    "cost-guard": None,
    "data-protection": None,
    "document-processing": None,
    "image-labeling": None,
    "model-monitor": "it judges a day and a half of traffic, and AWS's clock cannot be moved",
    "model-vault": None,
    "private-network": None,
    "realtime-endpoint": None,
    "secure-studio": None,
    "speech-synthesis": None,
    "text-insights": None,
    "training-pipeline": None,
}


def not_run(cloud: str, architecture: str) -> str | None:
    """Why a scenario is not run on a cloud (`local`, `aws`), None where it is. Raises KeyError for an unknown one."""
    if cloud == "local":
        return None
    return {"aws": AWS}[cloud][architecture]
