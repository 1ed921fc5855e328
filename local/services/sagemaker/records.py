"""The named resources of the local SageMaker: kept, found, listed, tagged; and the errors of their names.

A resource is a record: what its Describe operation answers (`members`), its tags, and what the service keeps to itself
(`private`). All parts of the service share one `Records`, so tags and ARNs work for every kind alike.

Sources: the documentation in botocore's service model (API Reference), read 2026-11-27: which operation declares which
error, the filters of the List operations. botocore's waiters for jobs and endpoints expect `ValidationException` for
one that is not there, though the model declares `ResourceNotFound` for jobs; the waiters are what clients rely on, so
jobs answer that. Not documented: the wording of messages.
"""

import datetime
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from local.emulator import clock
from local.services.wire import Caller, Operation, ServiceError, service_model

Request = Mapping[str, Any]
Members = dict[str, Any]

PAGE = 10  # Results a page unless MaxResults says more: API Reference of the List operations.
MOST_TAGS = 50

# Kinds (as in ARNs) whose Describe answers ValidationException for a name that is not there.
_VALIDATED = frozenset(
    {
        "endpoint",
        "endpoint-config",
        "model",
        "model-package",
        "model-package-group",
        "notebook-instance",
        "processing-job",
        "training-job",
        "transform-job",
    }
)


class Part(Protocol):
    """A part of the service."""

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""


@dataclass
class Record:
    """A resource.

    kind     as in its ARN ("training-job")
    name     as it was given, or what follows the kind in the ARN
    members  what Describe answers; change them under `Records.lock`
    private  what the part that made it keeps beside them
    """

    kind: str
    name: str
    arn: str
    account: str
    region: str
    members: Members
    tags: dict[str, str] = field(default_factory=dict)
    private: Any = None


class Records:
    """All resources of the service.

    `lock` guards them and their members; `news` is the condition on it that is told of each `change`.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.news = threading.Condition(self.lock)
        # By kind, account, region and the name in small letters, which is how SageMaker compares names.
        self._records: dict[tuple[str, str, str, str], Record] = {}
        clock.on_advance(self.tell)

    def operations(self) -> Mapping[str, Operation]:
        """Tags, which are alike for every kind."""
        return {"AddTags": self._add_tags, "DeleteTags": self._delete_tags, "ListTags": self._list_tags}

    # --- Resources ---

    def add(
        self,
        kind: str,
        caller: Caller,
        name: str,
        members: Members,
        tags: Iterable[Mapping[str, str]] = (),
        *,
        used: str = "ResourceInUse",
        private: Any = None,
        arn_kind: str = "",
    ) -> Record:
        """Keep a new resource. Raises ServiceError (`used`) for a name that is taken, and where it has tags that the
        caller may not give it ("Provide Permissions for Tagging SageMaker AI Resources", named from memory).

        `arn_kind` is for a kind that is part of another one's ARN, as executions are of a pipeline's.
        """
        arn = arn_of(arn_kind or kind, caller, name)
        if tags := list(tags):
            caller.require("sagemaker:AddTags", arn, _tagging(kind, tags))
        record = Record(
            kind,
            name,
            arn,
            caller.account,
            caller.region,
            members,
            tags_of(tags),
            private,
        )
        with self.lock:
            if _key(kind, caller, name) in self._records:
                raise ServiceError(used, f"{_words(kind)} {name} already exists: {record.arn}")
            self._records[_key(kind, caller, name)] = record
            self.news.notify_all()
        return record

    def get(self, kind: str, caller: Caller, name: str) -> Record | None:
        """The resource of that name, or of that ARN; None where there is none."""
        with self.lock:
            return self._records.get(_key(kind, caller, named(name)))

    def find(self, kind: str, caller: Caller, name: str) -> Record:
        """The resource of that name or ARN. Raises ServiceError: ResourceNotFound or ValidationException, by kind."""
        found = self.get(kind, caller, name)
        if found is None:
            raise missing(kind, name)
        return found

    def all(self, kind: str, caller: Caller) -> list[Record]:
        """The resources of a kind in the caller's account and region, the oldest first."""
        with self.lock:
            return [
                record
                for record in self._records.values()
                if (record.kind, record.account, record.region) == (kind, caller.account, caller.region)
            ]

    def every(self, kind: str) -> list[Record]:
        """The resources of a kind in all accounts and regions."""
        with self.lock:
            return [record for record in self._records.values() if record.kind == kind]

    def remove(self, record: Record) -> None:
        """Forget a resource."""
        with self.lock:
            self._records = {key: one for key, one in self._records.items() if one is not record}
            self.news.notify_all()

    def change(self, record: Record, **members: Any) -> None:
        """Set members, and tell whoever waits for `news`."""
        with self.lock:
            record.members.update(members)
            self.news.notify_all()

    def tell(self) -> None:
        """Wake whoever waits for `news`."""
        with self.lock:
            self.news.notify_all()

    def wait(self, look: Callable[[], Any], *, until: float | None = None) -> Any:
        """What `look` finds, once that is truthy; what it finds last when the movable clock has come to `until`.

        `look` is called under the lock.
        """
        with self.lock:
            while not (found := look()):
                left = None if until is None else until - clock.now()
                if left is not None and left <= 0:
                    break
                self.news.wait(left)
            return found

    # --- Tags ---

    def by_arn(self, arn: str) -> Record | None:
        """The resource of an ARN, whatever its kind."""
        with self.lock:
            return next((record for record in self._records.values() if record.arn == arn.lower()), None)

    def _tagged(self, request: Request) -> Record:
        record = self.by_arn(request["ResourceArn"])
        if record is None:
            raise ServiceError("ValidationException", f"{request['ResourceArn']} does not exist")
        return record

    def _add_tags(self, request: Request, _caller: Caller) -> Members:
        record = self._tagged(request)
        with self.lock:
            wanted = record.tags | tags_of(request["Tags"])
            if len(wanted) > MOST_TAGS:
                raise ServiceError("ValidationException", f"A resource has at most {MOST_TAGS} tags.")
            record.tags = wanted
            return {"Tags": shown_tags(record)}

    def _delete_tags(self, request: Request, _caller: Caller) -> Members:
        record = self._tagged(request)
        with self.lock:
            record.tags = {key: value for key, value in record.tags.items() if key not in request["TagKeys"]}
        return {}

    def _list_tags(self, request: Request, _caller: Caller) -> Members:
        record = self._tagged(request)
        found, token = page(shown_tags(record), request, most=MOST_TAGS)
        return {"Tags": found, **token}

    # --- Lists ---

    def listed(
        self,
        kind: str,
        request: Request,
        caller: Caller,
        *,
        shape: str,
        name: str,
        status: str = "",
        wanted: Callable[[Record], bool] = lambda _: True,
    ) -> tuple[list[Members], Members]:
        """One page of summaries, and `NextToken` where there are more.

        `shape` is the summary's shape in botocore's model; `name` and `status` are the members that NameContains and
        StatusEquals look at. Serves the filters, SortBy (Name, CreationTime, Status, LastModifiedTime) and SortOrder.
        """
        with self.lock:
            found = [dict(record.members) for record in self.all(kind, caller) if wanted(record)]
        found = [one for one in found if _passes(one, request, name, status)]
        by = {"Name": name, "Status": status}.get(request.get("SortBy", ""), request.get("SortBy", "CreationTime"))
        by = by if found and by in found[0] else "CreationTime"
        found.sort(key=lambda one: one[by], reverse=request.get("SortOrder", "Descending") == "Descending")
        return summaries(found, shape, request)


def summaries(found: Sequence[Members], shape: str, request: Request) -> tuple[list[Members], Members]:
    """One page of descriptions, cut down to what a summary's shape has."""
    model: Any = service_model("sagemaker").shape_for(shape)
    some, token = page(found, request)
    return [{key: value for key, value in one.items() if key in model.members} for one in some], token


def page(found: Sequence[Any], request: Request, most: int = PAGE) -> tuple[list[Any], Members]:
    """One page, and `NextToken` where there are more. Raises ServiceError for a token that was never given."""
    token = request.get("NextToken") or "0"
    if not token.isdigit():
        raise ServiceError("ValidationException", "The NextToken is not valid.")
    start, size = int(token), request.get("MaxResults", most)
    more = {"NextToken": str(start + size)} if start + size < len(found) else {}
    return list(found[start : start + size]), more


_MOMENTS = (
    ("CreationTimeAfter", "CreationTime", 1),
    ("CreationTimeBefore", "CreationTime", -1),
    ("CreatedAfter", "CreationTime", 1),
    ("CreatedBefore", "CreationTime", -1),
    ("LastModifiedTimeAfter", "LastModifiedTime", 1),
    ("LastModifiedTimeBefore", "LastModifiedTime", -1),
)


def _passes(members: Members, request: Request, name: str, status: str) -> bool:
    if request.get("NameContains", "").casefold() not in str(members.get(name, "")).casefold():
        return False
    if status and request.get("StatusEquals") not in (None, members.get(status)):
        return False
    for asked, member, sign in _MOMENTS:
        if asked in request and (
            member not in members or sign * (members[member].timestamp() - request[asked].timestamp()) <= 0
        ):
            return False
    return True


# --- Names, ARNs, tags, errors ---------------------------------------------------------------------------------------


def arn_of(kind: str, caller: Caller, name: str) -> str:
    """`arn:aws:sagemaker:REGION:ACCOUNT:KIND/name`, in small letters as SageMaker writes them."""
    return f"arn:aws:sagemaker:{caller.region}:{caller.account}:{kind}/{name.lower()}"


def named(name_or_arn: str) -> str:
    """The name in an ARN; a name as it is. A pipeline execution's name is `<pipeline>/execution/<id>`."""
    return name_or_arn.split(":", 5)[5].partition("/")[2] if name_or_arn.startswith("arn:") else name_or_arn


def missing(kind: str, name: str) -> ServiceError:
    """The error for a resource that is not there."""
    code = "ValidationException" if kind in _VALIDATED else "ResourceNotFound"
    return ServiceError(code, f"{_words(kind)} {name} does not exist.")


def invalid(message: str) -> ServiceError:
    """The error for a request that makes no sense."""
    return ServiceError("ValidationException", message)


def unserved(what: str) -> ServiceError:
    """The error for what AWS has and this local cloud has not."""
    return ServiceError("NotImplemented", f"This local cloud does not serve {what}.", 501)


def now() -> datetime.datetime:
    """The moment by the movable clock."""
    return datetime.datetime.fromtimestamp(clock.now(), tz=datetime.timezone.utc)


def _tagging(kind: str, tags: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The condition keys with which `sagemaker:AddTags` is asked for what is being made.

    That `sagemaker:TaggingAction` names the operation is named from memory.
    """
    operation = "Create" + "".join(word.capitalize() for word in kind.split("-"))
    named = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags}
    return {**named, "aws:TagKeys": [tag["Key"] for tag in tags], "sagemaker:TaggingAction": operation}


def tags_of(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Tags of a request by their keys."""
    return {tag["Key"]: tag["Value"] for tag in tags}


def shown_tags(record: Record) -> list[dict[str, str]]:
    """A resource's tags as the API shows them."""
    return [{"Key": key, "Value": value} for key, value in record.tags.items()]


def eventful(members: Mapping[str, Any]) -> Members:
    """Members as an event's detail holds them: times are milliseconds since the epoch."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime.datetime):
            return int(value.timestamp() * 1000)
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return {key: plain(value) for key, value in members.items()}


def _key(kind: str, caller: Caller, name: str) -> tuple[str, str, str, str]:
    return kind, caller.account, caller.region, name.lower()


def _words(kind: str) -> str:
    return kind.replace("-", " ").capitalize()
