"""CloudFormation's types of `local.services.resource_types` in the emulator.

A property without which the resource would be another one replaces it: first the new one, then the old one goes, as
CloudFormation does.
"""

from __future__ import annotations

from typing import Any

from ministack.core import responses as _responses
from ministack.services.cloudformation import provisioners as _provisioners
from ministack.services.cloudformation import stacks as _stacks

from local.emulator.seams import inside
from local.services import resource_types
from local.services.resource_types import Made, Properties, ResourceType


class _Cloud:
    """MiniStack, whose CloudFormation calls in the account and region of the stack."""

    def client(self, service: str) -> Any:
        account, region = _responses.get_account_id(), _responses.get_region()
        return inside.client(service, account, account, region)

    def physical_name(self, stack: str, logical_id: str, longest: int) -> str:
        return str(_provisioners._physical_name(stack, logical_id, max_len=longest))


resource_types.use(_Cloud())


def provide(kind: str, one: ResourceType) -> None:
    """Serve a type. A resource that keeps its own name cannot be replaced."""
    create, own_name = one.create, one.own_name

    def updating(physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Made:
        if one.update is not None and not one.replaces(old, new):
            return one.update(physical_id, old, new)
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
        "delete": one.delete,
    }
    # Requests from inside wait for the event loop, which must not be held up for that.
    others = _stacks._runs_on_worker_thread
    _stacks._runs_on_worker_thread = lambda asked: asked == kind or bool(others(asked))
