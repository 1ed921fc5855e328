"""CloudFormation's types for services of ours: each is made, changed and deleted by the service's own requests.

A type gives `create`, `delete` and, if it can be changed in place, `update`. They are the same on every cloud, which
says once where the requests go (`use`), and calls them when CloudFormation would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from botocore import xform_name
from botocore.exceptions import ClientError

from local.services.wire import service_model

Properties = Mapping[str, Any]
Made = tuple[str, dict[str, Any]]
# Logical id, properties, the stack's name → physical id and attributes.
Create = Callable[[str, Properties, str], Made]
# Physical id, old and new properties.
Update = Callable[[str, Properties, Properties], Made]
Delete = Callable[[str, Properties], None]


@dataclass(frozen=True)
class ResourceType:
    """How resources of a type are made, changed and deleted.

    Without `update` any change replaces a resource; `replacing` are the properties whose change does so in any case.
    `own_name` is the property that names it.
    """

    create: Create
    update: Update | None
    delete: Delete
    replacing: Sequence[str] = ()
    own_name: str = ""

    def replaces(self, old: Properties, new: Properties) -> bool:
        """Whether this change makes another resource of it."""
        return self.update is None or any(old.get(name) != new.get(name) for name in self.replacing)


class Cloud(Protocol):
    """The cloud whose CloudFormation is at work."""

    def client(self, service: str) -> Any:
        """botocore's client of a service, in the account and region of the stack that is worked on."""

    def physical_name(self, stack: str, logical_id: str, longest: int) -> str:
        """The name of a resource that the template does not name."""


_cloud: Cloud | None = None


def use(cloud: Cloud) -> None:
    """Set the cloud; whoever runs the services does so once."""
    global _cloud  # noqa: PLW0603 (one cloud a process)
    _cloud = cloud


def _needed() -> Cloud:
    if _cloud is None:
        raise RuntimeError("No cloud works on stacks")
    return _cloud


def physical_name(stack: str, logical_id: str, longest: int = 63) -> str:
    """The name of a resource that the template does not name."""
    return _needed().physical_name(stack, logical_id, longest)


def call(service: str, operation: str, properties: Properties) -> dict[str, Any]:
    """A request of the account's root, as CloudFormation acts here. Raises ClientError, ValueError."""
    client = _needed().client(service)
    answer: dict[str, Any] = getattr(client, xform_name(operation))(**request(service, operation, properties))
    return answer


def request(service: str, operation: str, properties: Properties) -> dict[str, Any]:
    """Properties as the API takes them: templates may give numbers and truths as text. Raises ValueError."""
    shape: Any = service_model(service).operation_model(operation).input_shape
    if unknown := properties.keys() - shape.members.keys():
        raise ValueError(f"Encountered unsupported property {', '.join(sorted(unknown))}")
    asked: dict[str, Any] = typed(properties, shape)
    return asked


def typed(value: Any, shape: Any) -> Any:
    """A template's value as a shape of the API has it; what does not fit is left as it is."""
    if shape.type_name == "structure" and isinstance(value, Mapping):
        return {
            name: typed(item, shape.members[name]) if name in shape.members else item for name, item in value.items()
        }
    if shape.type_name == "map" and isinstance(value, Mapping):
        return {name: typed(item, shape.value) for name, item in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [typed(item, shape.member) for item in value]
    convert = _SCALARS.get(shape.type_name, str)
    return convert(value) if isinstance(value, (str, int, float, bool)) else value


_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": lambda value: str(value).lower() == "true",
}


def unless_gone(action: Callable[[], Any], *codes: str) -> None:
    """Do something with a resource that may be gone already: then an error with one of these codes is none."""
    try:
        action()
    except ClientError as error:
        gone = ("does not exist", "Could not find", "not found")
        if error.response["Error"]["Code"] not in codes or not any(
            word in error.response["Error"]["Message"] for word in gone
        ):
            raise


def retag(service: str, arn: str, old: Properties, new: Properties) -> None:
    """Change a resource's tags from those of the old properties to those of the new."""
    gone = {tag["Key"] for tag in old.get("Tags", ())} - {tag["Key"] for tag in new.get("Tags", ())}
    if gone:
        call(service, "DeleteTags", {"ResourceArn": arn, "TagKeys": sorted(gone)})
    if new.get("Tags"):
        call(service, "AddTags", {"ResourceArn": arn, "Tags": list(new["Tags"])})
