"""The demo of private-network: the same calls inside and outside, and which statement decided each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from local.demos import ROOT, Demo
from local.files import FileKind, printable
from scenarios import private_network
from scenarios.private_network import LARGEST_LETTER_BYTES, SUFFIXES, Called, Report, is_letter

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from local.cloud import LocalCloud
    from local.screen import Screen
    from scenarios.cloud import Cloud

# Of another account of the local cloud, whose root's key is its number.
FOREIGN_BUCKET = "somebody-elses-letters"
FOREIGN_ACCOUNT = "210987654321"

STYLES = {"allowed": "green", "refused": "red", "unreachable": "yellow", "failed": "bold red"}


@dataclass(frozen=True)
class Proved:
    """The scenario's report, and the decisions that the local cloud took on the way."""

    report: Report
    decisions: tuple[Mapping[str, Any], ...]
    roles: Mapping[str, str]
    # Whose policies these are, by the names and ids that the decisions have for them.
    places: Mapping[str, str]

    @property
    def complete(self) -> bool:
        return self.report.complete

    def decided(self, call: Called) -> tuple[str, ...]:
        """What decided a call, a line each: the statements that let it through, or the one that refused it."""
        taken = [
            one
            for one in self.decisions
            if one["action"] == call.planned.action
            and one["role"] == self.roles.get(call.where)
            and call.planned.on in one["resource"]
        ]
        if call.outcome == "allowed":
            return tuple(dict.fromkeys(self._statement(one) for one in taken if one["allowed"]))
        if call.outcome == "unreachable":
            return ("the network has no endpoint for it",)
        refused = [self._statement(one) for one in taken if not one["allowed"]]
        return tuple(dict.fromkeys(refused)) or (call.message or call.code,)

    def _statement(self, decision: Mapping[str, Any]) -> str:
        """Where the statement stands, and its name or number there."""
        statement = decision["statement"]
        if not statement:
            return _named(self.places, decision.get("reason") or "No policy allows it")
        place = statement["policy"].rpartition(":::")[2].partition("/")[0]
        whose = self.places.get(place, "its role's policy")
        return f"{whose}: {statement['sid'] or 'statement ' + str(statement['index'] + 1)}"


def make_foreign_bucket(cloud: LocalCloud) -> None:
    """Makes the bucket of another account that the proof must not reach."""
    import boto3

    from local.environment import ROOT_KEYS

    boto3.client(
        "s3",
        endpoint_url=cloud.endpoint_url,
        region_name=cloud.region,
        aws_access_key_id=FOREIGN_ACCOUNT,
        aws_secret_access_key=ROOT_KEYS["AWS_SECRET_ACCESS_KEY"],
        verify=str(cloud.ca_bundle),
    ).create_bucket(Bucket=FOREIGN_BUCKET)


class PrivateNetworkDemo(Demo):
    """Sends a letter of the user, or of the project, all ways."""

    files = FileKind("letter", "letters", SUFFIXES, is_letter, "sent", largest_bytes=LARGEST_LETTER_BYTES)
    samples = ROOT / "samples" / "texts"
    settings: ClassVar[Mapping[str, Any]] = {"foreign_bucket": FOREIGN_BUCKET}
    doing = "Sending {inputs} through the network and past it"
    done = "Sent {inputs} through the network and past it"
    results = "calls"

    def sample_files(self) -> list[Path]:
        return [self.samples / "news-merger.txt"]

    def warm_up(self, cloud: LocalCloud) -> None:
        make_foreign_bucket(cloud)
        comprehend = cloud.client("comprehend")
        comprehend.detect_entities(Text="Warm up in London.", LanguageCode="en")
        comprehend.detect_sentiment(Text="Warm.", LanguageCode="en")

    def run(
        self, cloud: LocalCloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Proved:
        since = cloud.control.last_decision()
        report = private_network.run(cloud, outputs, inputs, progress)
        roles = {"inside": outputs["InsideRoleName"], "outside": outputs["OutsideRoleName"]}
        places = {outputs["BucketName"]: "the bucket's policy"}
        for name, value in outputs.items():
            if value.startswith("vpce-"):
                places[value] = f"{name.removesuffix('EndpointId')}'s endpoint"
        return Proved(report, tuple(cloud.control.decisions(since=since)), roles, places)

    def run_elsewhere(
        self, cloud: Cloud, outputs: Mapping[str, str], inputs: Sequence[Path], progress: Callable[[str], None]
    ) -> Proved:
        """Which statement decided is what the local cloud alone tells."""
        return Proved(private_network.run(cloud, outputs, inputs, progress), (), {}, {})

    def summary(self, report: Proved) -> str:
        wrong = sum(not call.as_expected for call in report.report.calls)
        return f"{wrong} calls came out otherwise than they should" if wrong else "each came out as it should"

    def show(self, report: Proved, screen: Screen) -> Iterable[RenderableType]:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII
        several = len({call.letter for call in report.report.calls}) > 1
        for letter, calls in _by_letter(report.report).items():
            title = printable(letter) if several else None
            table = Table(title=title, box=lines, expand=False, pad_edge=False, header_style="bold")
            table.add_column("The same call", overflow="fold")
            table.add_column("in the network", overflow="fold")
            table.add_column("outside", overflow="fold")
            for planned, sides in calls:
                what = Text.assemble(planned.planned.title, "\n", (planned.planned.action, "dim"))
                table.add_row(what, *(_told(report, sides.get(where)) for where in ("inside", "outside")))
            yield table

    def remarks(self, *, own_stack: bool) -> Sequence[tuple[str, str]]:
        return [
            ("Both functions", "have the same code and the same grants: what differs is what the network does"),
            (
                "No packet flows here",
                "the local cloud knows by its session who is in the network, and decides as AWS would",
            ),
        ]

    def to_json(self, report: Proved) -> list[dict[str, Any]]:
        return [
            {
                "letter": call.letter,
                "call": call.call,
                "action": call.planned.action,
                "where": call.where,
                "outcome": call.outcome,
                "expected": call.expected,
                "code": call.code or None,
                "message": call.message or None,
                "decided_by": report.decided(call),
            }
            for call in report.report.calls
        ]


def _by_letter(report: Report) -> dict[str, list[tuple[Called, Mapping[str, Called]]]]:
    """For each letter its calls in their order: one of the two sides, and both by side."""
    letters: dict[str, dict[str, dict[str, Called]]] = {}
    for call in report.calls:
        letters.setdefault(call.letter, {}).setdefault(call.call, {})[call.where] = call
    return {
        letter: [(next(iter(sides.values())), sides) for sides in calls.values()] for letter, calls in letters.items()
    }


def _told(report: Proved, call: Called | None) -> Text:
    from rich.text import Text

    if call is None:
        return Text("not tried", "dim")
    lines = "".join(f"\n{line}" for line in report.decided(call))
    told = Text.assemble((call.outcome, STYLES[call.outcome]), (lines, "dim"))
    if not call.as_expected:
        told.append(f"\nshould be {call.expected}: {call.planned.why}", "bold red")
    return told


def _named(places: Mapping[str, str], text: str) -> str:
    for place, name in places.items():
        text = text.replace(f"the policy of {place}", name).replace(place, name)
    return text


DEMO = PrivateNetworkDemo()
