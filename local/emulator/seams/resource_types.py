"""CloudFormation's types for services of ours: each is made, changed and deleted by the service's own requests.

A type gives `create`, `delete` and, if it can be changed in place, `update`. A property without which the resource
would be another one replaces it: first the new one, then the old one goes, as CloudFormation does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError
from ministack.core import responses as _responses
from ministack.services.cloudformation import provisioners as _provisioners
from ministack.services.cloudformation import stacks as _stacks

from local.emulator.seams import inside

Properties = Mapping[str, Any]
Made = tuple[str, dict[str, Any]]
# Logical id, properties, the stack's name → physical id and attributes.
Create = Callable[[str, Properties, str], Made]
# Physical id, old and new properties.
Update = Callable[[str, Properties, Properties], Made]
Delete = Callable[[str, Properties], None]


def provide(
    kind: str,
    create: Create,
    update: Update | None,
    delete: Delete,
    *,
    replacing: Sequence[str] = (),
    own_name: str = "",
) -> None:
    """Serve a type. `replacing` are the properties whose change replaces a resource; without `update` any does.

    `own_name` is the property that names it: a resource that keeps its own name cannot be replaced.
    """

    def updating(physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Made:
        if update is not None and all(old.get(name) == new.get(name) for name in replacing):
            return update(physical_id, old, new)
        if own_name in new and new[own_name] == old.get(own_name):
            raise ValueError(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename "
                f"{new[own_name]} and update the stack again."
            )
        # Under another name, so its identifier is another one, and MiniStack itself deletes the former resource: in a
        # worker thread, unlike what `_delete_predecessor` is told, and with regard to UpdateReplacePolicy.
        made: Made = _provisioners._seeded_create(create, logical_id, new, stack)
        return made

    _provisioners._RESOURCE_HANDLERS[kind] = {
        "create": create,
        "update": updating,
        "update_with_logical_id": True,
        "delete": delete,
    }
    # Requests from inside wait for the event loop, which must not be held up for that.
    others = _stacks._runs_on_worker_thread
    _stacks._runs_on_worker_thread = lambda one: one == kind or bool(others(one))


def physical_name(stack: str, logical_id: str, longest: int = 63) -> str:
    """The name of a resource that the template does not name."""
    return str(_provisioners._physical_name(stack, logical_id, max_len=longest))


def call(service: str, operation: str, properties: Properties) -> dict[str, Any]:
    """A request of the account's root, as CloudFormation acts here. Raises ClientError, ValueError."""
    account, region = _responses.get_account_id(), _responses.get_region()
    client = inside.client(service, account, account, region)
    answer: dict[str, Any] = getattr(client, xform_name(operation))(**request(service, operation, properties))
    return answer


def request(service: str, operation: str, properties: Properties) -> dict[str, Any]:
    """Properties as the API takes them: templates may give numbers and truths as text. Raises ValueError."""
    shape: Any = inside.model(service).operation_model(operation).input_shape
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
