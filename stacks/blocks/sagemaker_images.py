"""AWS's own container images for SageMaker, and the registries that they are pulled from.

Source: the registry tables of the SageMaker Python SDK (`image_uri_config/xgboost.json`, `sklearn.json`,
`model-monitor.json`), read 2026-11-27. XGBoost's and scikit-learn's images come from the same registries.
"""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

XGBOOST = "sagemaker-xgboost:3.0-5"
SKLEARN = "sagemaker-scikit-learn:1.4-2-cpu-py3"
MONITOR = "sagemaker-model-monitor-analyzer"

_FRAMEWORKS = {
    "af-south-1": "510948584623",
    "ap-east-1": "651117190479",
    "ap-northeast-1": "354813040037",
    "ap-northeast-2": "366743142698",
    "ap-northeast-3": "867004704886",
    "ap-south-1": "720646828776",
    "ap-south-2": "628508329040",
    "ap-southeast-1": "121021644041",
    "ap-southeast-2": "783357654285",
    "ap-southeast-3": "951798379941",
    "ap-southeast-4": "106583098589",
    "ca-central-1": "341280168497",
    "ca-west-1": "190319476487",
    "cn-north-1": "450853457545",
    "cn-northwest-1": "451049120500",
    "eu-central-1": "492215442770",
    "eu-central-2": "680994064768",
    "eu-north-1": "662702820516",
    "eu-south-1": "978288397137",
    "eu-south-2": "104374241257",
    "eu-west-1": "141502667606",
    "eu-west-2": "764974769150",
    "eu-west-3": "659782779980",
    "il-central-1": "898809789911",
    "me-central-1": "272398656194",
    "me-south-1": "801668240914",
    "sa-east-1": "737474898029",
    "us-east-1": "683313688378",
    "us-east-2": "257758044811",
    "us-west-1": "746614075791",
    "us-west-2": "246618743249",
}
_MONITOR = {
    "ap-east-1": "001633400207",
    "ap-northeast-1": "574779866223",
    "ap-northeast-2": "709848358524",
    "ap-south-1": "126357580389",
    "ap-southeast-1": "245545462676",
    "ap-southeast-2": "563025443158",
    "ca-central-1": "536280801234",
    "cn-north-1": "453000072557",
    "cn-northwest-1": "453252182341",
    "eu-central-1": "048819808253",
    "eu-north-1": "895015795356",
    "eu-west-1": "468650794304",
    "eu-west-2": "749857270468",
    "eu-west-3": "680080141114",
    "me-south-1": "607024016150",
    "sa-east-1": "539772159869",
    "us-east-1": "156813124566",
    "us-east-2": "777275614652",
    "us-west-1": "890145073186",
    "us-west-2": "159807026194",
}


class Images:
    """The images as a template names them, wherever it is deployed: a region that AWS has none in fails there."""

    def __init__(self, scope: Construct, *, monitor: bool = False) -> None:
        self._scope = scope
        registries = {"Frameworks": _FRAMEWORKS, **({"Monitor": _MONITOR} if monitor else {})}
        regions = sorted(set.intersection(*(set(accounts) for accounts in registries.values())))
        self._accounts = cdk.CfnMapping(
            scope,
            "ImageRegistries",
            mapping={region: {name: of[region] for name, of in registries.items()} for region in regions},
        )

    def uri(self, image: str) -> str:
        """What a job or a model names, `<account>.dkr.ecr.<region>.amazonaws.com/<image>`."""
        return f"{self._account(image)}.dkr.ecr.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}/{image}"

    def repository_arn(self, image: str) -> str:
        """What a role that pulls the image is granted."""
        repository = image.partition(":")[0]
        return f"arn:{cdk.Aws.PARTITION}:ecr:{cdk.Aws.REGION}:{self._account(image)}:repository/{repository}"

    def _account(self, image: str) -> str:
        return self._accounts.find_in_map(cdk.Aws.REGION, "Monitor" if image == MONITOR else "Frameworks")
