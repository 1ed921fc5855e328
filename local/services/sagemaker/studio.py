"""Studio: domains, user profiles, apps and lifecycle configurations. Only records are kept, no app runs.

Real: the states by the movable clock, what must be gone before something can be deleted, names, tags, rights, roles
that must be passed. Not real: Studio. A domain has no file system, its network and its keys are kept and shown and
change nothing, scripts are never run, spaces are refused, and no address is given (`CreatePresignedDomainUrl` is
refused). Nobody works in an app: `LastUserActivityTimestamp` is left out, `IdleSettings` stop nothing.

A change of state takes `SETTLES` seconds of the movable clock, where AWS takes minutes.

Sources, read 2026-11-27: the documentation in botocore's service model (API Reference). That a domain with profiles and
a profile with apps cannot be deleted: DeleteDomain and DeleteUserProfile there. A deleted app is listed for 24 hours
(DeleteApp in the Developer Guide, from memory); here it is gone when it is deleted.
"""

import secrets
from collections.abc import Mapping
from typing import Any

from local.emulator import clock
from local.services.sagemaker import records as shelf
from local.services.sagemaker.notebooks import SETTLES
from local.services.sagemaker.records import Members, Record, Records, Request
from local.services.wire import Caller, Operation, ServiceError, service_model

DOMAIN, PROFILE, APP, SCRIPT = "domain", "user-profile", "app", "studio-lifecycle-config"
_SERVICE = "sagemaker.amazonaws.com"


class Studio:
    """The operations on domains, profiles, apps and scripts."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "CreateApp": self._create_app,
            "CreateDomain": self._create_domain,
            "CreateStudioLifecycleConfig": self._create_script,
            "CreateUserProfile": self._create_profile,
            "DeleteApp": self._delete_app,
            "DeleteDomain": self._delete_domain,
            "DeleteStudioLifecycleConfig": self._delete_script,
            "DeleteUserProfile": self._delete_profile,
            "DescribeApp": self._describe_app,
            "DescribeDomain": self._describe_domain,
            "DescribeStudioLifecycleConfig": self._describe_script,
            "DescribeUserProfile": self._describe_profile,
            "ListApps": self._list_apps,
            "ListDomains": self._list_domains,
            "ListStudioLifecycleConfigs": self._list_scripts,
            "ListUserProfiles": self._list_profiles,
        }

    # --- States ---

    def _turn(self, record: Record, status: str) -> None:
        with self.records.lock:
            record.private = clock.now() + SETTLES
            self.records.change(record, Status=status)
            if "LastModifiedTime" in record.members:
                self.records.change(record, LastModifiedTime=shelf.now())

    def _settled(self, kind: str, caller: Caller) -> list[Record]:
        with self.records.lock:
            for record in self.records.all(kind, caller):
                if record.members["Status"] not in ("Pending", "Deleting") or clock.now() < record.private:
                    continue
                if record.members["Status"] == "Deleting":
                    self.records.remove(record)
                else:
                    self.records.change(record, Status="InService")
            return self.records.all(kind, caller)

    def _find(self, kind: str, caller: Caller, name: str) -> Record:
        self._settled(kind, caller)
        return self.records.find(kind, caller, name)

    def _delete(self, record: Record, in_it: list[Record]) -> Members:
        if in_it:
            raise ServiceError("ResourceInUse", f"{record.arn} still has {in_it[0].arn}.")
        if record.members["Status"] != "Deleting":
            self._turn(record, "Deleting")
        return {}

    # --- Domains ---

    def _create_domain(self, request: Request, caller: Caller) -> Members:
        network = {"VpcId", "SubnetIds"} - request.keys()
        if network:
            raise shelf.unserved(f"a domain without {', '.join(sorted(network))}")
        self._pass(request["DefaultUserSettings"], caller)
        identity = f"d-{secrets.token_hex(6)}"
        members = {key: value for key, value in request.items() if key not in ("Tags", "TagPropagation")}
        members |= {
            "DomainArn": shelf.arn_of(DOMAIN, caller, identity),
            "DomainId": identity,
            "AppNetworkAccessType": request.get("AppNetworkAccessType", "PublicInternetOnly"),
            "CreationTime": shelf.now(),
            "LastModifiedTime": shelf.now(),
        }
        with self.records.lock:
            if any(one.members["DomainName"] == request["DomainName"] for one in self._settled(DOMAIN, caller)):
                raise ServiceError("ResourceInUse", f"There is a domain {request['DomainName']} already.")
            record = self.records.add(DOMAIN, caller, identity, members, request.get("Tags", ()))
            self._turn(record, "Pending")
        return {"DomainArn": record.arn, "DomainId": identity}

    def _pass(self, settings: Request, caller: Caller) -> None:
        if role := settings.get("ExecutionRole"):
            caller.assume(role, _SERVICE)

    def _describe_domain(self, request: Request, caller: Caller) -> Members:
        return dict(self._find(DOMAIN, caller, request["DomainId"]).members)

    def _list_domains(self, request: Request, caller: Caller) -> Members:
        found, token = shelf.summaries(
            [dict(one.members) for one in self._settled(DOMAIN, caller)], "DomainDetails", request
        )
        return {"Domains": found, **token}

    def _delete_domain(self, request: Request, caller: Caller) -> Members:
        with self.records.lock:
            record = self._find(DOMAIN, caller, request["DomainId"])
            return self._delete(record, self._of(PROFILE, caller, DomainId=record.name))

    def _of(self, kind: str, caller: Caller, **members: str | None) -> list[Record]:
        return [
            record
            for record in self._settled(kind, caller)
            if all(value is None or record.members.get(name) == value for name, value in members.items())
        ]

    # --- User profiles ---

    def _create_profile(self, request: Request, caller: Caller) -> Members:
        domain = self._find(DOMAIN, caller, request["DomainId"])
        self._pass(request.get("UserSettings", {}), caller)
        name = f"{domain.name}/{request['UserProfileName']}"
        members = {key: value for key, value in request.items() if key != "Tags"}
        members |= {
            "UserProfileArn": shelf.arn_of(PROFILE, caller, name),
            "CreationTime": shelf.now(),
            "LastModifiedTime": shelf.now(),
        }
        with self.records.lock:
            self._settled(PROFILE, caller)
            record = self.records.add(PROFILE, caller, name, members, request.get("Tags", ()))
            self._turn(record, "Pending")
        return {"UserProfileArn": record.arn}

    def _profile(self, request: Request, caller: Caller) -> Record:
        return self._find(PROFILE, caller, f"{request['DomainId']}/{request['UserProfileName']}")

    def _describe_profile(self, request: Request, caller: Caller) -> Members:
        return dict(self._profile(request, caller).members)

    def _list_profiles(self, request: Request, caller: Caller) -> Members:
        self._settled(PROFILE, caller)
        contained = request.get("UserProfileNameContains", "")

        def wanted(record: Record) -> bool:
            return (
                request.get("DomainIdEquals") in (None, record.members["DomainId"])
                and contained in record.members["UserProfileName"]
            )

        found, token = self.records.listed(
            PROFILE,
            {"SortOrder": "Ascending", **request},
            caller,
            shape="UserProfileDetails",
            name="UserProfileName",
            wanted=wanted,
        )
        return {"UserProfiles": found, **token}

    def _delete_profile(self, request: Request, caller: Caller) -> Members:
        with self.records.lock:
            record = self._profile(request, caller)
            apps = self._of(
                APP, caller, DomainId=request["DomainId"], UserProfileName=record.members["UserProfileName"]
            )
            return self._delete(record, apps)

    # --- Apps ---

    def _create_app(self, request: Request, caller: Caller) -> Members:
        name = self._app_name(request)
        self._profile(request, caller)
        shape: Any = service_model("sagemaker").operation_model("DescribeApp").output_shape
        members = {key: value for key, value in request.items() if key in shape.members}
        members |= {"AppArn": shelf.arn_of(APP, caller, name), "CreationTime": shelf.now()}
        with self.records.lock:
            self._settled(APP, caller)
            record = self.records.add(APP, caller, name, members, request.get("Tags", ()))
            self._turn(record, "Pending")
        return {"AppArn": record.arn}

    def _app_name(self, request: Request) -> str:
        if "SpaceName" in request or "UserProfileName" not in request:
            raise shelf.unserved("apps in spaces")
        return "/".join(request[part] for part in ("DomainId", "UserProfileName", "AppType", "AppName"))

    def _describe_app(self, request: Request, caller: Caller) -> Members:
        return dict(self._find(APP, caller, self._app_name(request)).members)

    def _list_apps(self, request: Request, caller: Caller) -> Members:
        if "SpaceNameEquals" in request:
            raise shelf.unserved("apps in spaces")
        found = [
            dict(one.members)
            for one in self._of(
                APP,
                caller,
                DomainId=request.get("DomainIdEquals"),
                UserProfileName=request.get("UserProfileNameEquals"),
            )
        ]
        found.sort(key=lambda one: one["CreationTime"], reverse=request.get("SortOrder") == "Descending")
        some, token = shelf.summaries(found, "AppDetails", request)
        return {"Apps": some, **token}

    def _delete_app(self, request: Request, caller: Caller) -> Members:
        with self.records.lock:
            return self._delete(self._find(APP, caller, self._app_name(request)), [])

    # --- Lifecycle configurations ---

    def _create_script(self, request: Request, caller: Caller) -> Members:
        name = request["StudioLifecycleConfigName"]
        members = {key: value for key, value in request.items() if key != "Tags"}
        members |= {
            "StudioLifecycleConfigArn": shelf.arn_of(SCRIPT, caller, name),
            "CreationTime": shelf.now(),
            "LastModifiedTime": shelf.now(),
        }
        return {
            "StudioLifecycleConfigArn": self.records.add(SCRIPT, caller, name, members, request.get("Tags", ())).arn
        }

    def _describe_script(self, request: Request, caller: Caller) -> Members:
        return dict(self.records.find(SCRIPT, caller, request["StudioLifecycleConfigName"]).members)

    def _list_scripts(self, request: Request, caller: Caller) -> Members:
        kind = request.get("AppTypeEquals")
        found, token = self.records.listed(
            SCRIPT,
            request,
            caller,
            shape="StudioLifecycleConfigDetails",
            name="StudioLifecycleConfigName",
            wanted=lambda one: kind in (None, one.members["StudioLifecycleConfigAppType"]),
        )
        return {"StudioLifecycleConfigs": found, **token}

    def _delete_script(self, request: Request, caller: Caller) -> Members:
        self.records.remove(self.records.find(SCRIPT, caller, request["StudioLifecycleConfigName"]))
        return {}
