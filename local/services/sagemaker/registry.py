"""The model registry: groups, and the packages in them, of which each is a version that somebody approves or not.

Real: versions, approval, metrics and baselines as they were registered, events. Not real: a package is not validated by
running it (`ValidationSpecification` is refused), images are not scanned, and nothing looks whether the model's files
are there.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference). Not documented: what
`ModelPackageName` is for a version, though the model wants it (here the group's name).
"""

from collections.abc import Mapping
from typing import Any

from local.services.sagemaker import records as shelf
from local.services.sagemaker.records import Members, Record, Records, Request
from local.services.wire import Caller, Operation, ServiceError, service_model

GROUP, PACKAGE = "model-package-group", "model-package"
_CHANGES = (
    "ModelApprovalStatus",
    "ModelPackageRegistrationType",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)


class Registry:
    """The operations of the registry."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "CreateModelPackage": self._create,
            "CreateModelPackageGroup": self._create_group,
            "DeleteModelPackage": self._delete,
            "DeleteModelPackageGroup": self._delete_group,
            "DescribeModelPackage": self._describe,
            "DescribeModelPackageGroup": self._describe_group,
            "ListModelPackageGroups": self._list_groups,
            "ListModelPackages": self._list,
            "UpdateModelPackage": self._update,
        }

    # --- Groups ---

    def _create_group(self, request: Request, caller: Caller) -> Members:
        if "ManagedConfiguration" in request:
            raise shelf.unserved("ManagedConfiguration")
        name = request["ModelPackageGroupName"]
        members = {key: value for key, value in request.items() if key != "Tags"}
        members |= {
            "ModelPackageGroupArn": shelf.arn_of(GROUP, caller, name),
            "ModelPackageGroupStatus": "Completed",
            "CreationTime": shelf.now(),
            "CreatedBy": {},
        }
        # The number of the last version; one that was deleted is not given again.
        record = self.records.add(
            GROUP, caller, name, members, request.get("Tags", ()), used="ValidationException", private=0
        )
        return {"ModelPackageGroupArn": record.arn}

    def _describe_group(self, request: Request, caller: Caller) -> Members:
        return dict(self.records.find(GROUP, caller, request["ModelPackageGroupName"]).members)

    def _list_groups(self, request: Request, caller: Caller) -> Members:
        if request.get("CrossAccountFilterOption", "SameAccount") != "SameAccount":
            raise shelf.unserved("groups of other accounts")
        found, token = self.records.listed(
            GROUP, request, caller, shape="ModelPackageGroupSummary", name="ModelPackageGroupName"
        )
        return {"ModelPackageGroupSummaryList": found, **token}

    def _delete_group(self, request: Request, caller: Caller) -> Members:
        with self.records.lock:
            record = self.records.find(GROUP, caller, request["ModelPackageGroupName"])
            if any(_group_of(one) == record.name for one in self.records.all(PACKAGE, caller)):
                raise ServiceError("ConflictException", f"{record.arn} still has model packages.")
            self.records.remove(record)
        return {}

    # --- Packages ---

    def _create(self, request: Request, caller: Caller) -> Members:
        if "ValidationSpecification" in request or request.get("CertifyForMarketplace"):
            raise shelf.unserved("the validation of model packages")
        if ("ModelPackageGroupName" in request) == ("ModelPackageName" in request):
            raise shelf.invalid("Give one of ModelPackageName and ModelPackageGroupName.")
        if not {"InferenceSpecification", "SourceAlgorithmSpecification", "SourceUri"} & set(request):
            raise shelf.invalid("A model package needs an InferenceSpecification, or what stands for it.")
        if "SourceAlgorithmSpecification" in request:
            raise shelf.unserved("SourceAlgorithmSpecification")
        if "ModelPackageGroupName" in request and "Tags" in request:
            raise shelf.invalid("Tags belong to the model package group, not to a version in it.")
        shape: Any = service_model("sagemaker").operation_model("DescribeModelPackage").output_shape
        members = {key: value for key, value in request.items() if key in shape.members}
        members |= {
            "CreationTime": shelf.now(),
            "LastModifiedTime": shelf.now(),
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "CertifyForMarketplace": False,
        }
        with self.records.lock:
            if "ModelPackageGroupName" in request:
                group = self.records.find(GROUP, caller, request["ModelPackageGroupName"])
                group.private += 1
                name = f"{group.name}/{group.private}"
                members |= {
                    "ModelPackageGroupName": group.name,
                    "ModelPackageName": group.name,
                    "ModelPackageVersion": group.private,
                    "ModelApprovalStatus": request.get("ModelApprovalStatus", "PendingManualApproval"),
                }
            else:
                name = request["ModelPackageName"]
            members["ModelPackageArn"] = shelf.arn_of(PACKAGE, caller, name)
            record = self.records.add(PACKAGE, caller, name, members, request.get("Tags", ()), used="ConflictException")
        self._tell(record, caller)
        return {"ModelPackageArn": record.arn}

    def _tell(self, record: Record, caller: Caller) -> None:
        with self.records.lock:
            detail = shelf.eventful(record.members)
        caller.emit("aws.sagemaker", "SageMaker Model Package State Change", detail, [record.arn])

    def _describe(self, request: Request, caller: Caller) -> Members:
        record = self.records.find(PACKAGE, caller, request["ModelPackageName"])
        with self.records.lock:
            return dict(record.members)

    def _update(self, request: Request, caller: Caller) -> Members:
        with self.records.lock:
            record = self.records.find(PACKAGE, caller, request["ModelPackageArn"])
            if "ModelApprovalStatus" in request and "ModelPackageVersion" not in record.members:
                raise shelf.invalid("Only a version in a group can be approved.")
            changed = {key: request[key] for key in _CHANGES if key in request}
            properties = {
                key: value
                for key, value in record.members.get("CustomerMetadataProperties", {}).items()
                if key not in request.get("CustomerMetadataPropertiesToRemove", ())
            } | request.get("CustomerMetadataProperties", {})
            more = record.members.get("AdditionalInferenceSpecifications", []) + list(
                request.get("AdditionalInferenceSpecificationsToAdd", [])
            )
            changed |= {"CustomerMetadataProperties": properties} if properties else {}
            changed |= {"AdditionalInferenceSpecifications": more} if more else {}
            self.records.change(record, **changed, LastModifiedTime=shelf.now())
        self._tell(record, caller)
        return {"ModelPackageArn": record.arn}

    def _delete(self, request: Request, caller: Caller) -> Members:
        self.records.remove(self.records.find(PACKAGE, caller, request["ModelPackageName"]))
        return {}

    def _list(self, request: Request, caller: Caller) -> Members:
        group = request.get("ModelPackageGroupName")
        name = self.records.find(GROUP, caller, group).name if group else None
        kind = request.get("ModelPackageType", "Versioned" if group else "Unversioned")
        status = request.get("ModelApprovalStatus")

        def wanted(record: Record) -> bool:
            versioned = "ModelPackageVersion" in record.members
            return (
                name in (None, _group_of(record))
                and (kind == "Both" or versioned == (kind == "Versioned"))
                and status in (None, record.members.get("ModelApprovalStatus"))
            )

        found, token = self.records.listed(
            PACKAGE, request, caller, shape="ModelPackageSummary", name="ModelPackageName", wanted=wanted
        )
        return {"ModelPackageSummaryList": found, **token}


def _group_of(record: Record) -> str | None:
    return record.members.get("ModelPackageGroupName")
