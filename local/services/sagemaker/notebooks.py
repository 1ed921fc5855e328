"""Notebook instances: kept, started, stopped, by the movable clock. No machine and no Jupyter run behind them.

Real: the states and what each of them lets you do, names, tags, rights, the role that must be passed. Not real: the
instance. Its lifecycle scripts are kept and never run, no data are on its volume, and an address of it is not given
(`CreatePresignedNotebookInstanceUrl` is refused). A change of state takes `SETTLES` seconds of the movable clock, where
AWS takes minutes.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference): which status allows what
(StartNotebookInstance, StopNotebookInstance, UpdateNotebookInstance, DeleteNotebookInstance), the defaults of members.
Their models declare no error for a name that is not there: it is a ValidationException. The wording is not documented.
"""

from collections.abc import Mapping
from typing import Any

from local.emulator import clock
from local.services.sagemaker import records as shelf
from local.services.sagemaker.records import Members, Record, Records, Request
from local.services.wire import Caller, Operation

NOTEBOOK, SCRIPTS = "notebook-instance", "notebook-instance-lifecycle-config"
SETTLES = 0.1  # Seconds of the movable clock that a change of state takes.

_BETWEEN = {"Pending": "InService", "Stopping": "Stopped", "Updating": "Stopped", "Deleting": ""}
_DEFAULTS = {"DirectInternetAccess": "Enabled", "RootAccess": "Enabled", "VolumeSizeInGB": 5}
# Members whose name in the request is not that in the description.
_RENAMED = {"SecurityGroupIds": "SecurityGroups", "LifecycleConfigName": "NotebookInstanceLifecycleConfigName"}
_REMOVED = {
    "DisassociateLifecycleConfig": "NotebookInstanceLifecycleConfigName",
    "DisassociateDefaultCodeRepository": "DefaultCodeRepository",
    "DisassociateAdditionalCodeRepositories": "AdditionalCodeRepositories",
    "DisassociateAcceleratorTypes": "AcceleratorTypes",
}


class Notebooks:
    """The operations on notebook instances and on their lifecycle configurations."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "CreateNotebookInstance": self._create,
            "CreateNotebookInstanceLifecycleConfig": self._create_scripts,
            "DeleteNotebookInstance": self._delete,
            "DeleteNotebookInstanceLifecycleConfig": self._delete_scripts,
            "DescribeNotebookInstance": self._describe,
            "DescribeNotebookInstanceLifecycleConfig": self._describe_scripts,
            "ListNotebookInstanceLifecycleConfigs": self._list_scripts,
            "ListNotebookInstances": self._list,
            "StartNotebookInstance": self._start,
            "StopNotebookInstance": self._stop,
            "UpdateNotebookInstance": self._update,
            "UpdateNotebookInstanceLifecycleConfig": self._update_scripts,
        }

    # --- Instances ---

    def _create(self, request: Request, caller: Caller) -> Members:
        if "SecurityGroupIds" in request and "SubnetId" not in request:
            raise shelf.invalid("SecurityGroupIds needs a SubnetId.")
        if request.get("DirectInternetAccess") == "Disabled" and "SubnetId" not in request:
            raise shelf.invalid("DirectInternetAccess can be Disabled only together with a SubnetId.")
        self._known_scripts(request, caller)
        caller.assume(request["RoleArn"], "sagemaker.amazonaws.com")
        name = request["NotebookInstanceName"]
        members = _DEFAULTS | _described(request)
        members |= {
            "NotebookInstanceArn": shelf.arn_of(NOTEBOOK, caller, name),
            "CreationTime": shelf.now(),
        }
        record = self.records.add(NOTEBOOK, caller, name, members, request.get("Tags", ()), used="ValidationException")
        self._turn(record, "Pending")
        return {"NotebookInstanceArn": record.arn}

    def _known_scripts(self, request: Request, caller: Caller) -> None:
        if name := request.get("LifecycleConfigName"):
            self._scripts(name, caller)

    def _turn(self, record: Record, status: str) -> None:
        """To a status that the clock ends (`_settled`)."""
        with self.records.lock:
            record.private = clock.now() + SETTLES
            self.records.change(record, NotebookInstanceStatus=status, LastModifiedTime=shelf.now())

    def _settled(self, caller: Caller) -> list[Record]:
        """The caller's instances, each in the status that it has by now."""
        with self.records.lock:
            for record in self.records.all(NOTEBOOK, caller):
                status = record.members["NotebookInstanceStatus"]
                if status not in _BETWEEN or clock.now() < record.private:
                    continue
                if status == "Deleting":
                    self.records.remove(record)
                else:
                    self.records.change(record, NotebookInstanceStatus=_BETWEEN[status], LastModifiedTime=shelf.now())
            return self.records.all(NOTEBOOK, caller)

    def _find(self, request: Request, caller: Caller) -> Record:
        self._settled(caller)
        return self.records.find(NOTEBOOK, caller, request["NotebookInstanceName"])

    def _in(self, request: Request, caller: Caller, *allowed: str) -> Record:
        """The instance, if it is in one of these statuses."""
        record = self._find(request, caller)
        status = record.members["NotebookInstanceStatus"]
        if status not in allowed:
            raise shelf.invalid(
                f"Status ({status}) not in ([{', '.join(allowed)}]). Unable to transition {record.arn}."
            )
        return record

    def _describe(self, request: Request, caller: Caller) -> Members:
        record = self._find(request, caller)
        with self.records.lock:
            return dict(record.members)

    def _list(self, request: Request, caller: Caller) -> Members:
        with self.records.lock:
            self._settled(caller)

            def wanted(record: Record) -> bool:
                scripts = request.get("NotebookInstanceLifecycleConfigNameContains", "")
                repository = request.get("DefaultCodeRepositoryContains", "")
                return (
                    scripts in record.members.get("NotebookInstanceLifecycleConfigName", "")
                    and repository in record.members.get("DefaultCodeRepository", "")
                    and request.get("AdditionalCodeRepositoryEquals")
                    in (None, *record.members.get("AdditionalCodeRepositories", ()))
                )

            found, token = self.records.listed(
                NOTEBOOK,
                request,
                caller,
                shape="NotebookInstanceSummary",
                name="NotebookInstanceName",
                status="NotebookInstanceStatus",
                wanted=wanted,
            )
        return {"NotebookInstances": found, **token}

    def _start(self, request: Request, caller: Caller) -> Members:
        with self.records.lock:
            self._turn(self._in(request, caller, "Stopped"), "Pending")
        return {}

    def _stop(self, request: Request, caller: Caller) -> Members:
        with self.records.lock:
            self._turn(self._in(request, caller, "InService"), "Stopping")
        return {}

    def _update(self, request: Request, caller: Caller) -> Members:
        self._known_scripts(request, caller)
        if role := request.get("RoleArn"):
            caller.assume(role, "sagemaker.amazonaws.com")
        with self.records.lock:
            record = self._in(request, caller, "Stopped", "Failed")
            changed = _described({key: value for key, value in request.items() if key not in _REMOVED})
            for asked, member in _REMOVED.items():
                if request.get(asked):
                    record.members.pop(member, None)
            self.records.change(record, **changed)
            self._turn(record, "Updating")
        return {}

    def _delete(self, request: Request, caller: Caller) -> Members:
        with self.records.lock:
            self._turn(self._in(request, caller, "Stopped", "Failed"), "Deleting")
        return {}

    # --- Lifecycle configurations ---

    def _scripts(self, name: str, caller: Caller) -> Record:
        found = self.records.get(SCRIPTS, caller, name)
        if found is None:
            raise shelf.invalid(f"Notebook instance lifecycle config {name} does not exist.")
        return found

    def _create_scripts(self, request: Request, caller: Caller) -> Members:
        name = request["NotebookInstanceLifecycleConfigName"]
        members = {key: value for key, value in request.items() if key != "Tags"}
        members |= {
            "NotebookInstanceLifecycleConfigArn": shelf.arn_of(SCRIPTS, caller, name),
            "CreationTime": shelf.now(),
            "LastModifiedTime": shelf.now(),
        }
        tags = request.get("Tags", ())
        record = self.records.add(SCRIPTS, caller, name, members, tags, used="ValidationException")
        return {"NotebookInstanceLifecycleConfigArn": record.arn}

    def _describe_scripts(self, request: Request, caller: Caller) -> Members:
        return dict(self._scripts(request["NotebookInstanceLifecycleConfigName"], caller).members)

    def _update_scripts(self, request: Request, caller: Caller) -> Members:
        record = self._scripts(request["NotebookInstanceLifecycleConfigName"], caller)
        changed = {key: request[key] for key in ("OnCreate", "OnStart") if key in request}
        self.records.change(record, **changed, LastModifiedTime=shelf.now())
        return {}

    def _delete_scripts(self, request: Request, caller: Caller) -> Members:
        with self.records.lock:
            record = self._scripts(request["NotebookInstanceLifecycleConfigName"], caller)
            name = "NotebookInstanceLifecycleConfigName"
            if any(one.members.get(name) == record.name for one in self._settled(caller)):
                raise shelf.invalid(f"{record.arn} is used by a notebook instance.")
            self.records.remove(record)
        return {}

    def _list_scripts(self, request: Request, caller: Caller) -> Members:
        found, token = self.records.listed(
            SCRIPTS,
            request,
            caller,
            shape="NotebookInstanceLifecycleConfigSummary",
            name="NotebookInstanceLifecycleConfigName",
        )
        return {"NotebookInstanceLifecycleConfigs": found, **token}


def _described(request: Request) -> dict[str, Any]:
    return {_RENAMED.get(key, key): value for key, value in request.items() if key != "Tags"}
