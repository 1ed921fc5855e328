"""Models and endpoint configurations: what an endpoint is made of.

A model has one container: an image with the archive of a trained model, or an approved model package. An endpoint
configuration has variants of fixed instance counts, and may capture data. What is refused: inference pipelines (several
containers), several models in one container, serverless, asynchronous and shadow variants, explainers, inference
components and instance pools.

Recorded only: instance types, the volume's size and key. A container has the machine it runs on. A model with a
VpcConfig is brought, and calls, through that VPC. Its captures are written there too, which no page was found to say.

Sources: the documentation in botocore's service model (API Reference), read 2026-11-27. Not documented: the wording of
messages. Named from memory: that a model's artefact must be readable when the model is made, that a package must be
approved before it is deployed, and that variables of the request stand above those of the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.services.sagemaker.containers import ContainerError, program_of
from local.services.sagemaker.hosting import Artefact
from local.services.sagemaker.job import placed
from local.services.sagemaker.records import Members, Record, Records, Request, invalid, now, unserved
from local.services.wire import Caller, Operation, ServiceError

MODEL, CONFIG, PACKAGE = "model", "endpoint-config", "model-package"

_UNSERVED_OF_CONTAINER = (
    "AdditionalModelDataSources",
    "ImageConfig",
    "InferenceSpecificationName",
    "MultiModelConfig",
    "ContainerMetricsConfig",
)
_UNSERVED_OF_CONFIG = (
    "AsyncInferenceConfig",
    "ExecutionRoleArn",
    "ExplainerConfig",
    "MetricsConfig",
    "ShadowProductionVariants",
)
_UNSERVED_OF_VARIANT = (
    "AcceleratorType",
    "CapacityReservationConfig",
    "CoreDumpConfig",
    "InferenceAmiVersion",
    "InstancePools",
    "ManagedInstanceScaling",
    "ServerlessConfig",
)
_ROUTING = ("LEAST_OUTSTANDING_REQUESTS", "RANDOM")


@dataclass(frozen=True)
class Deployable:
    """What a model keeps to itself: what its container is made of, and its execution role as a caller.

    `vpc` is its VpcConfig, if it has one; the `worker` calls from inside of it.
    """

    artefact: Artefact
    actor: Caller
    vpc: Members | None = None

    @property
    def worker(self) -> Caller:
        """The role from where the container's instance sits."""
        return placed(self.actor, self.vpc)


class Models:
    """CreateModel, CreateEndpointConfig, and their Describe, List and Delete."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "CreateEndpointConfig": self._create_config,
            "CreateModel": self._create_model,
            "DeleteEndpointConfig": self._deleting(CONFIG, "EndpointConfigName"),
            "DeleteModel": self._deleting(MODEL, "ModelName"),
            "DescribeEndpointConfig": self._describing(CONFIG, "EndpointConfigName"),
            "DescribeModel": self._describing(MODEL, "ModelName"),
            "ListEndpointConfigs": self._list_configs,
            "ListModels": self._list_models,
        }

    def deployable(self, caller: Caller, name: str) -> Deployable:
        """The model of that name, as an endpoint or a transform job needs it. Raises ServiceError."""
        found = self._find(MODEL, caller, name).private
        if not isinstance(found, Deployable):
            raise TypeError(f"The model {name} was made without its container")
        return found

    # --- Models ---

    def _create_model(self, request: Request, caller: Caller) -> Members:
        container = _the_container(request)
        if "ExecutionRoleArn" not in request:
            raise invalid("ExecutionRoleArn is needed.")
        actor = caller.assume(request["ExecutionRoleArn"], "sagemaker.amazonaws.com")
        image, data, environment = self._made_of(container, caller)
        try:
            program_of(image)
        except ContainerError as error:
            raise invalid(str(error).removeprefix("ClientError: ")) from error
        if data is not None:
            _check_access(actor, data, request["ExecutionRoleArn"], caller.region)
        artefact = Artefact(image, data, environment, isolated=request.get("EnableNetworkIsolation", False))
        members = {key: value for key, value in request.items() if key not in ("Tags", "Containers")}
        members |= {"CreationTime": now(), "EnableNetworkIsolation": artefact.isolated}
        members.setdefault("PrimaryContainer", container)
        made = Deployable(artefact, actor, request.get("VpcConfig"))
        # That the role may join the VPC shows here, before anything is made.
        _ = made.worker
        record = self._add(MODEL, caller, request["ModelName"], members, request, made)
        self._records.change(record, ModelArn=record.arn)
        return {"ModelArn": record.arn}

    def _made_of(self, container: Mapping[str, Any], caller: Caller) -> tuple[str, str | None, Mapping[str, str]]:
        """Image, archive and variables; those of the request stand above those of its package."""
        variables = container.get("Environment", {})
        if "ModelPackageName" in container:
            if "Image" in container or "ModelDataUrl" in container:
                raise invalid("A container has a ModelPackageName, or an Image with ModelDataUrl, not both.")
            packed = self._of_package(container["ModelPackageName"], caller)
            return packed["Image"], _data_of(packed), {**packed.get("Environment", {}), **variables}
        if "Image" not in container:
            raise invalid("A container needs an Image or a ModelPackageName.")
        return container["Image"], _data_of(container), variables

    def _of_package(self, name: str, caller: Caller) -> Mapping[str, Any]:
        """The container of an approved package."""
        package = self._records.find(PACKAGE, caller, name)
        if package.members.get("ModelApprovalStatus", "Approved") != "Approved":
            raise invalid(
                f"The model package {package.arn} is {package.members['ModelApprovalStatus']}; only an approved one can"
                " be deployed."
            )
        containers = package.members.get("InferenceSpecification", {}).get("Containers", [])
        if len(containers) != 1:
            raise unserved(f"model packages of {len(containers)} containers")
        found: Mapping[str, Any] = containers[0]
        return found

    def _list_models(self, request: Request, caller: Caller) -> Members:
        found, token = self._records.listed(MODEL, request, caller, shape="ModelSummary", name="ModelName")
        return {"Models": found, **token}

    # --- Endpoint configurations ---

    def _create_config(self, request: Request, caller: Caller) -> Members:
        for name in _UNSERVED_OF_CONFIG:
            if name in request:
                raise unserved(f"{name} of an endpoint configuration")
        if request.get("EnableNetworkIsolation") or "VpcConfig" in request:
            raise unserved("inference components, which alone take network settings from an endpoint configuration")
        names = [variant["VariantName"] for variant in request["ProductionVariants"]]
        if len(set(names)) != len(names):
            raise invalid("The names of an endpoint configuration's variants must differ.")
        variants = [self._variant(variant, caller) for variant in request["ProductionVariants"]]
        members = {key: value for key, value in request.items() if key != "Tags"}
        members |= {"ProductionVariants": variants, "CreationTime": now()}
        if "DataCaptureConfig" in request:
            members["DataCaptureConfig"] = _capture_config(request["DataCaptureConfig"])
        record = self._add(CONFIG, caller, request["EndpointConfigName"], members, request, None)
        self._records.change(record, EndpointConfigArn=record.arn)
        return {"EndpointConfigArn": record.arn}

    def _variant(self, variant: Mapping[str, Any], caller: Caller) -> Members:
        for name in _UNSERVED_OF_VARIANT:
            if name in variant:
                raise unserved(f"{name} of a variant")
        routing = variant.get("RoutingConfig", {}).get("RoutingStrategy", "RANDOM")
        if routing not in _ROUTING:
            raise unserved(f"the routing strategy {routing}")
        for name in ("ModelName", "InstanceType", "InitialInstanceCount"):
            if name not in variant:
                raise invalid(f"The variant {variant['VariantName']} needs {name}.")
        self._find(MODEL, caller, variant["ModelName"])
        return {"InitialVariantWeight": 1.0, **variant}

    def _list_configs(self, request: Request, caller: Caller) -> Members:
        found, token = self._records.listed(
            CONFIG, request, caller, shape="EndpointConfigSummary", name="EndpointConfigName"
        )
        return {"EndpointConfigs": found, **token}

    # --- Both ---

    def _add(  # noqa: PLR0917 (what a resource is made of)
        self, kind: str, caller: Caller, name: str, members: Members, request: Request, private: Any
    ) -> Record:
        record = self._records.get(kind, caller, name)
        if record is not None:
            raise existing(record)
        tags = request.get("Tags", ())
        return self._records.add(kind, caller, name, members, tags, used="ValidationException", private=private)

    def _find(self, kind: str, caller: Caller, name: str) -> Record:
        return find(self._records, kind, caller, name)

    def _describing(self, kind: str, member: str) -> Operation:
        return lambda request, caller: dict(self._find(kind, caller, request[member]).members)

    def _deleting(self, kind: str, member: str) -> Operation:
        def delete(request: Request, caller: Caller) -> Members:
            self._records.remove(self._find(kind, caller, request[member]))
            return {}

        return delete


_WORDS = {MODEL: "model", CONFIG: "endpoint configuration", "endpoint": "endpoint"}


def existing(record: Record) -> ServiceError:
    """The error for a name that is taken."""
    return invalid(f'Cannot create already existing {_WORDS[record.kind]} "{record.arn}".')


def find(records: Records, kind: str, caller: Caller, name: str) -> Record:
    """The model, configuration or endpoint of that name. Raises ServiceError in the service's words."""
    found = records.get(kind, caller, name)
    if found is None:
        where = f"arn:aws:sagemaker:{caller.region}:{caller.account}:{kind}/{name.lower()}"
        raise invalid(f'Could not find {_WORDS[kind]} "{where}".')
    return found


def _the_container(request: Request) -> Mapping[str, Any]:
    given = [request["PrimaryContainer"]] if "PrimaryContainer" in request else []
    given += request.get("Containers", [])
    if not given:
        raise invalid("A model needs a PrimaryContainer or Containers.")
    if len(given) > 1 or "InferenceExecutionConfig" in request:
        raise unserved("models of several containers")
    container: Mapping[str, Any] = given[0]
    for name in _UNSERVED_OF_CONTAINER:
        if name in container:
            raise unserved(f"{name} of a container")
    if container.get("Mode", "SingleModel") != "SingleModel":
        raise unserved("several models in one container")
    return container


def _data_of(container: Mapping[str, Any]) -> str | None:
    """The `s3://` URL of the archive, or None where the image brings its model."""
    if "ModelDataSource" in container:
        source = container["ModelDataSource"].get("S3DataSource", {})
        if (source.get("S3DataType"), source.get("CompressionType")) != ("S3Object", "Gzip"):
            raise unserved("model data other than one compressed object")
        return str(source["S3Uri"])
    url = container.get("ModelDataUrl")
    if url is not None and not url.startswith("s3://"):
        raise unserved("model data by https; name it as s3://")
    return url


def _check_access(actor: Caller, url: str, role: str, region: str) -> None:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    try:
        actor.call("s3", "HeadObject", {"Bucket": bucket, "Key": key})
    except ServiceError as error:
        raise invalid(
            f'Could not access model data at {url}. Please ensure that the role "{role}" exists and that its trust'
            ' relationship policy allows the action "sts:AssumeRole" for the service principal'
            ' "sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and that the object'
            f" is located in {region}."
        ) from error


def _capture_config(given: Mapping[str, Any]) -> Members:
    if not given["DestinationS3Uri"].startswith("s3://"):
        raise unserved("captures by https; name the destination as s3://")
    return {"EnableCapture": True, **given}
