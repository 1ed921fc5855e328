"""The command line: `python -m sandbox`. Thin: each command asks a module for an answer and prints it.

Exit status: 0 done, 1 it cannot be done or came out wrong, 2 the user's mistake, 130 interrupted. An error is one line.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from local.assembly import SettingsRefusedError, SynthesisError, synthesize
from local.files import FilesRefusedError
from local.options import MistakeError, parse_settings
from local.screen import Screen
from sandbox import deployment, leftovers, plan, sanction, scenario, show, stacks
from sandbox.account import Account, AccountError, connect
from scenarios.clouds import where_it_runs
from stacks import catalogue
from stacks.catalogue import Architecture

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
# A chain of stacks takes up to an hour until it stands, and what is to remove it must not come between. EventBridge
# Scheduler takes any time ahead; a sandbox that is to live longer than a month is none.
SHORTEST_HOURS, LONGEST_HOURS = 1, 24 * 30

app = typer.Typer(
    help="A sandbox account on AWS: deploy to it, run a scenario there, remove everything again.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
screen = Screen()


Id = Annotated[str, typer.Argument(metavar="ARCH", help="The architecture, as `python -m local list` names it.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Confirm = Annotated[
    str | None, typer.Option("--confirm-sandbox", metavar="ACCOUNT", help="The number of the account, if it is one.")
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    try:
        status = app(args=list(arguments) if arguments is not None else None, prog_name=NAME, standalone_mode=False)
    except typer.Exit as error:
        return error.exit_code
    except typer.TyperException as error:
        screen.complain(error.format_message().rstrip("."))
        return error.exit_code
    except (MistakeError, SettingsRefusedError, FilesRefusedError, catalogue.UnknownArchitectureError) as error:
        return _complained(str(error), MISTAKE)
    except (AccountError, SynthesisError, TimeoutError) as error:
        return _complained(str(error), FAILED)
    except (KeyboardInterrupt, EOFError, typer.Abort):
        screen.note("Interrupted. What AWS has begun it ends by itself; run the command again to see how it stands.")
        return INTERRUPTED
    return status if isinstance(status, int) else DONE


NAME = "python3 -m sandbox"


def _complained(text: str, status: int) -> int:
    for line in text.splitlines():
        screen.complain(line)
    return status


@app.command()
def deploy(  # noqa: PLR0917 (typer's way of naming options)
    architecture: Id,
    only_plan: Annotated[bool, typer.Option("--plan", help="Show what would be made, and make nothing.")] = False,
    yes: Yes = False,
    confirmed: Confirm = None,
    destroy_after: Annotated[
        float | None,
        typer.Option("--destroy-after", metavar="HOURS", help="Have everything removed again after so many hours."),
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Who is to be asked about it. Default: these credentials.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the stack; may be given several times."),
    ] = None,
    assembly: Annotated[
        Path | None, typer.Option("--app", metavar="FOLDER", help="Plan with what was synthesized there before.")
    ] = None,
) -> None:
    """Show what would be made, where, and at which price; ask; then bootstrap and deploy."""
    chosen = _available(architecture)
    if destroy_after is not None and not SHORTEST_HOURS <= destroy_after <= LONGEST_HOURS:
        raise MistakeError(
            f"--destroy-after {destroy_after:g}: it may be from {SHORTEST_HOURS} to {LONGEST_HOURS} hours."
        )
    if assembly and not only_plan:
        raise MistakeError("--app is for --plan: what is deployed is synthesized anew, with its tags.")
    if assembly and destroy_after:
        raise MistakeError("--app holds no stack for --destroy-after: leave one of them out.")
    wishes = plan.Wishes(confirmed, owner, destroy_after, parse_settings(settings or []))
    account = connect()
    # Before ten seconds of synthesis, as none of it counts in another account.
    sanction.reason(account, stacks.described(account, sanction.TOOLKIT), confirmed)
    now = datetime.datetime.now(datetime.timezone.utc)
    states = plan.standing(account, chosen)
    folder = assembly or _synthesized(account, chosen, wishes, states, now)
    drawn = plan.draw(account, chosen, folder, wishes, now, states=states)
    for line in show.plan_lines(drawn):
        screen.say(line)
    with screen.step("Holding the templates against the policies", "Held the templates against the policies"):
        found = plan.problems(drawn, folder, default=not wishes.settings)
    if found:
        for problem in found:
            screen.complain(problem)
        raise typer.Exit(FAILED)
    if only_plan:
        screen.say("Nothing was made: this was the plan.")
        return
    _ask("Make this?", yes)
    deployment.deploy(drawn, folder, asked=yes)
    screen.say(f"{chosen.id} stands in account {account.number}, {account.region}. Go on with:")
    screen.say(f"  make scenario ARCH={chosen.id} CLOUD=aws")
    screen.say(f"  make destroy ARCH={chosen.id} CLOUD=aws")


@app.command(name="scenario")
def scenario_(
    architecture: Id,
    files: Annotated[list[Path] | None, typer.Option("--file", metavar="PATH", help="A file of yours.")] = None,
    yes: Yes = False,
    record: Annotated[bool, typer.Option("--record", help="Write the outcome into docs/records.md.")] = False,
) -> None:
    """Run the scenario of an architecture against its stack in the account, and show what came of it."""
    chosen = _available(architecture)
    if why := where_it_runs("aws", chosen.id):
        screen.say(f"not run: {chosen.id}: {why}")
        if record:
            _record(None, chosen, why=why)
        return
    account = connect()
    found = scenario.outputs(account, chosen)
    for line in show.scenario_lines(account, chosen):
        screen.say(line)
    _ask("Run it?", yes)
    with screen.step(f"Running the scenario of {chosen.id}", f"Ran the scenario of {chosen.id}") as step:
        outcome = scenario.run(account, chosen, found, files or [], step.detail)
        step.result = show.summary(chosen, outcome)
    for shown in show.results(chosen, outcome, screen):
        screen.out.print(shown)
    if record:
        _record(account, chosen, outcome)
    if not outcome.complete:
        raise typer.Exit(FAILED)


@app.command()
def destroy(architecture: Id, yes: Yes = False, confirmed: Confirm = None) -> None:
    """Remove the stack of an architecture and those that need it; then look for what is left."""
    chosen = _available(architecture)
    account = connect()
    doomed = _doomed(account, chosen)
    for name, others in _still_wanted(account, doomed).items():
        doomed.remove(name)
        screen.say(
            f"The stack {name} stays, as it is to remove {', '.join(others)}. Who wants to keep these deletes it in the"
            " CloudFormation console."
        )
    if not doomed:
        screen.say(f"{chosen.id} is not deployed in account {account.number}, {account.region}.")
    else:
        _require_ours(account, doomed, confirmed)
        for line in show.place_lines(account):
            screen.say(line)
        screen.say(f"Is removed, with all data in it: {', '.join(doomed)}")
        _ask("Remove this?", yes)
        groups = _log_groups(account, doomed)
        elsewhere = {name: leftovers.regions_of(account, name) for name in doomed}
        with screen.step("Removing", "Removed") as step:
            for name in doomed:
                stacks.remove(account, name, step.detail)
            step.result = ", ".join(doomed)
        _tell_leftovers(account, [name for name in doomed if not _destructs(name)], groups, elsewhere)
        return
    _tell_leftovers(account, [chosen.id])


@app.command(name="leftovers")
def leftovers_(
    architecture: Id,
    region: Annotated[
        list[str] | None, typer.Option("--region", help="Look there, too; may be given several times.")
    ] = None,
) -> None:
    """Look for what the stack of an architecture left in the account."""
    chosen = _available(architecture)
    account = connect()
    for line in show.place_lines(account):
        screen.say(line)
    elsewhere = (*leftovers.regions_of(account, chosen.id), *(region or ()))
    _tell_leftovers(account, [chosen.id], elsewhere={chosen.id: elsewhere})


def _synthesized(
    account: Account,
    chosen: Architecture,
    wishes: plan.Wishes,
    states: dict[str, str | None],
    now: datetime.datetime,
) -> Path:
    at = plan.destroyed_at(wishes, now)
    before = plan.removal(account, f"{stacks.DESTRUCTOR}{chosen.id}")
    going = plan.going(states, chosen, before)
    with screen.step("Synthesizing the stacks for AWS", "Synthesized the stacks for AWS"):
        return synthesize(
            chosen.id,
            "lambda",
            {chosen.id: wishes.settings} if wishes.settings else None,
            tags=plan.tags(account, wishes, now, before),
            self_destruct={"stacks": going, "at": at.isoformat()} if at else None,
        )


def _doomed(account: Account, chosen: Architecture) -> list[str]:
    """The stacks that go, in their order: what would remove it by itself, what needs it, and it."""
    users = [one for one in reversed(catalogue.available()) if chosen in catalogue.with_needs(one) and one != chosen]
    # What needs another of them goes before that.
    users.sort(key=lambda one: len(catalogue.with_needs(one)), reverse=True)
    names = [name for one in (*users, chosen) for name in (f"{stacks.DESTRUCTOR}{one.id}", one.id)]
    return [name for name in names if stacks.described(account, name)]


def _still_wanted(account: Account, doomed: Sequence[str]) -> dict[str, list[str]]:
    """Of the stacks that would go those that are to remove others by themselves, which stay: with these."""
    found = {}
    for name in filter(_destructs, doomed):
        before = plan.removal(account, name)
        stay = [one for one in (before.stacks if before else ()) if one not in doomed]
        if others := [one for one in stay if stacks.described(account, one)]:
            found[name] = others
    return found


def _destructs(name: str) -> bool:
    return name.startswith(stacks.DESTRUCTOR)


def _require_ours(account: Account, names: Sequence[str], confirmed: str | None) -> None:
    """A stack that this command line made says so by its tag. For any other the account has to be a sandbox."""
    for name in names:
        found = stacks.described(account, name) or {}
        if stacks.tags_of(found).get(plan.PROJECT_TAG) != plan.PROJECT:
            sanction.reason(account, stacks.described(account, sanction.TOOLKIT), confirmed)
            return


def _log_groups(account: Account, names: Sequence[str]) -> dict[str, list[str]]:
    """The log groups of stacks that are about to go, by stack: they are looked for by name afterwards."""
    return {name: stacks.resource_names(account, name, "AWS::Logs::LogGroup") for name in names}


def _tell_leftovers(
    account: Account,
    names: Sequence[str],
    groups: Mapping[str, Sequence[str]] | None = None,
    elsewhere: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """`groups` are log groups by stack, `elsewhere` further regions by stack: its own by default, if there are none."""
    for name in names:
        regions = elsewhere[name] if elsewhere is not None else leftovers.regions_of(account, name)
        with screen.step(f"Looking for what {name} left", f"Looked for what {name} left") as step:
            found = leftovers.search(account, name, (groups or {}).get(name, []), regions)
            step.result = f"{len(found.found)} found"
        for line in show.leftover_lines(name, found):
            screen.say(line)


def _ask(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise MistakeError("This has to be confirmed, and nobody is there to ask: run it in a terminal, or with --yes.")
    if not typer.confirm(question):
        screen.say("Nothing was done.")
        raise typer.Exit(FAILED)


def _available(architecture_id: str) -> Architecture:
    architecture = catalogue.get(architecture_id)
    if architecture.status != "available":
        built = ", ".join(one.id for one in catalogue.available())
        raise MistakeError(f"{architecture.id} is planned, not built yet. Built: {built}")
    return architecture


def _record(
    account: Account | None, chosen: Architecture, outcome: scenario.Outcome | None = None, why: str = ""
) -> None:
    from docs import records

    if account is not None and account.endpoint:
        raise MistakeError(f"--record: {account.endpoint} is not AWS, so nothing is written down about AWS.")
    if outcome is None:
        records.record(chosen.id, "aws", "not run", not_run=1, reason=why)
        return
    result: records.Result = "passed" if outcome.complete else "failed"
    records.record(
        chosen.id,
        "aws",
        result,
        seconds=outcome.seconds,
        passed=int(outcome.complete),
        failed=int(not outcome.complete),
    )
