"""What is wrong with a SageMaker job, by its description, and the verdict on all of them. Pure rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Kind = Literal["training", "processing"]
# The most that an annotation takes (PutEvaluations in botocore's service model of AWS Config, read 2026-11-27).
LONGEST = 256


def faults(kind: Kind, described: Mapping[str, Any]) -> list[str]:
    """What a job lacks: `VPC`, `volume key`, `output key`. `described` is the answer of its Describe operation."""
    if kind == "training":
        network = described.get("VpcConfig")
        volume = described.get("ResourceConfig", {}).get("VolumeKmsKeyId")
        keys = [described.get("OutputDataConfig", {}).get("KmsKeyId")]
    else:
        network = described.get("NetworkConfig", {}).get("VpcConfig")
        volume = described.get("ProcessingResources", {}).get("ClusterConfig", {}).get("VolumeKmsKeyId")
        config = described.get("ProcessingOutputConfig", {})
        keys = [config.get("KmsKeyId")] if config.get("Outputs") else []
    found = []
    if not network:
        found.append("VPC")
    if not volume:
        found.append("volume key")
    if not all(keys):
        found.append("output key")
    return found


def evaluation(account: str, judged: int, wrong: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The verdict on an account, as PutEvaluations takes it, without the time.

    AWS Config has no type for jobs, so the verdict is on the account, and names jobs as far as the annotation goes.
    """
    if not judged:
        verdict, told = "NOT_APPLICABLE", "No job in this time."
    elif not wrong:
        verdict, told = "COMPLIANT", f"{judged} jobs, each in a VPC and with keys."
    else:
        verdict = "NON_COMPLIANT"
        named = "; ".join(f"{name}: no {', '.join(lacks)}" for name, lacks in wrong.items())
        told = f"{len(wrong)} of {judged} jobs. {named}"
    return {
        "ComplianceResourceType": "AWS::::Account",
        "ComplianceResourceId": account,
        "ComplianceType": verdict,
        "Annotation": told if len(told) <= LONGEST else f"{told[: LONGEST - 3]}...",
    }
