"""The command line: `python -m local`. Thin: each command asks a module for an answer and prints it.

Exit status: 0 done, 1 something failed, 2 the user's mistake (an unknown name, a wrong option, a file that is no
photograph), 130 interrupted. Every error is a line on standard error that says the mend; `--json` answers alone stand
on standard output. What only some commands need is imported by them: the list must come at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import errno
import json
import math
import os
import re
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer

from local import DEFAULT_CLOUD, LOCALSTACK
from local.options import MistakeError, parse_settings
from local.screen import Screen, command_line
from stacks import catalogue
from stacks.catalogue import Architecture

if TYPE_CHECKING:
    from local.cloud import LocalCloud

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
STANDARD_OUTPUT, STANDARD_ERROR = 1, 2

# CDK ends a logical id with a hash.
HASH = re.compile(r"[0-9A-F]{8}$")
# How AWS tools show things, not where they go or as whom: a shell keeps that.
KEPT_IN_SHELLS = {"AWS_PAGER", "AWS_DEFAULT_OUTPUT", "AWS_CLI_AUTO_PROMPT"}
SAME_ON_EVERY_LINE = {
    "level",
    "message",
    "timestamp",
    "location",
    "service",
    "cold_start",
    "function_name",
    "function_memory_size",
    "function_arn",
    "xray_trace_id",
}


class Where(str, enum.Enum):
    """The clouds that a stack can be deployed to."""

    LOCAL = "local"
    LOCALSTACK = "localstack"
    AWS = "aws"


class FailedError(Exception):
    """It was meant well and cannot be done now. `str()` is one line."""


def _cloud_name(name: str) -> str:
    from local.cloud import NAME

    if not NAME.fullmatch(name):
        raise MistakeError(f"--name {name}: a cloud's name is made of small letters, digits and dashes.")
    return name


Id = Annotated[str, typer.Argument(metavar="ID", help="The architecture, as `list` names it.")]
Name = Annotated[str, typer.Option("--name", help="The local cloud, where several are up.", callback=_cloud_name)]
Cloud = Annotated[Where, typer.Option("--cloud", help="Where: local, localstack or aws.")]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]

app = typer.Typer(
    help="Architectures of machine learning on AWS, at work on this machine.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
screen = Screen()
_ignored_variables: list[str] = []
_what_interruption_means = ["What this command had started is ended."]


def main(arguments: Sequence[str] | None = None, ignored_variables: Sequence[str] = ()) -> int:
    """Runs one command and returns its exit status. `ignored_variables` were removed from the user's environment."""
    _ignored_variables[:] = ignored_variables
    del _what_interruption_means[1:]
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not end the command.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    _end_on_signals()
    try:
        status = app(
            args=list(arguments) if arguments is not None else None, prog_name=command_line(), standalone_mode=False
        )
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        # The reader (`| head`) has seen enough; typer exits then. The interpreter flushes once more: into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except BaseException as error:  # noqa: BLE001 (the one place where an error becomes a line)
        return _explain(error)
    if status == INTERRUPTED:
        # This is how typer hands Ctrl-C on.
        screen.note(f"Interrupted. {_what_interruption_means[-1]}")
    return status if isinstance(status, int) else DONE


@app.callback()
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        screen.say(context.get_help())


@app.command("list")
def list_(
    theme: Annotated[str | None, typer.Option(help=f"Only one theme: {', '.join(catalogue.THEMES)}.")] = None,
    status: Annotated[str | None, typer.Option(help="Only those that are available, or planned.")] = None,
    as_json: Json = False,
) -> None:
    """Show every architecture and its status."""
    if theme is not None and theme not in catalogue.THEMES:
        raise MistakeError(f"There is no theme {theme!r}. There are {', '.join(catalogue.THEMES)}.")
    if status not in (None, "available", "planned"):
        raise MistakeError(f"There is no status {status!r}. There are available and planned.")
    chosen = [one for one in catalogue.ARCHITECTURES if theme in (None, one.theme) and status in (None, one.status)]
    if as_json:
        _print_json([{**dataclasses.asdict(one), "page": one.page} for one in chosen])
        return
    _show_list(chosen)


@app.command()
def up(
    name: Name = DEFAULT_CLOUD,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: a free one.")] = None,
    cloud: Cloud = Where.LOCAL,
) -> None:
    """Start a local cloud, or a LocalStack core, and keep it running."""
    _never_an_account(cloud)
    name = _named(name, cloud)
    from local.localstack import cloud as clouds

    running = clouds.find(name)
    if running is not None and port not in (None, standing := urlsplit(running.endpoint_url).port):
        raise FailedError(f"The local cloud {name!r} is up on port {standing}. Stop it first: {command_line()} down")
    if running is not None:
        screen.say(f"The local cloud {name!r} is up already: {running.endpoint_url}")
    else:
        with screen.step("Starting a local cloud", "Started a local cloud"):
            running = clouds.kind(name).start(name, port, detached=True)
        screen.say(f"The local cloud {name!r} is up: {running.endpoint_url}")
    named = _on(name)
    screen.say(f"  {command_line()} deploy image-labeling{named}    deploy to it")
    if not isinstance(running, clouds.OwnLocalStack):
        screen.say(f"  {command_line()} down{named}                     stop it; what it holds is gone then")
    screen.say(
        f'  eval "$({command_line()} env{named})"       let the AWS CLI, boto3 or the CDK CLI of this shell use it'
    )


@app.command()
def env(
    name: Name = DEFAULT_CLOUD,
    undo: Annotated[bool, typer.Option("--undo", help="Print what takes AWS's variables away again.")] = False,
    cloud: Cloud = Where.LOCAL,
) -> None:
    """Print what makes every AWS tool of a shell use the local cloud: eval "$(python3 -m local env)"

    It is for sh, bash and zsh. What the shell says of AWS (profile, session, endpoints) is taken away, so that nothing
    goes to an account.
    """
    _never_an_account(cloud)
    name = _named(name, cloud)
    from stacks.assets import TARGET_VARIABLE

    found = {one for one in _ignored_variables if one.startswith("AWS_") or one == TARGET_VARIABLE} - KEPT_IN_SHELLS
    variables = {} if undo else _running(name).tools_environment()
    if unwanted := found - variables.keys():
        print("unset", *sorted(unwanted))
    if undo:
        return
    for variable, value in variables.items():
        print(f"export {variable}={shlex.quote(value)}")
    # A proxy cannot reach this machine. Some tools read the one name, some the other.
    host = urlsplit(variables["AWS_ENDPOINT_URL"]).hostname
    for variable in ("NO_PROXY", "no_proxy"):
        longer = f'export {variable}="${{{variable}:+${variable},}}{host}"'
        print(f'case ",${{{variable}-}}," in *,{host},*) ;; *) {longer} ;; esac')


@app.command()
def down(name: Name = DEFAULT_CLOUD, cloud: Cloud = Where.LOCAL) -> None:
    """Stop the local cloud, and with it all that it holds."""
    _never_an_account(cloud)
    name = _named(name, cloud)
    from local.cloud import LocalCloud

    running = LocalCloud.attach(name)
    if running is None:
        if name == LOCALSTACK and (endpoint := _users_localstack()) is not None:
            raise FailedError(f"Your own LocalStack at {endpoint} was not started here, and is not stopped from here.")
        screen.say(f"No local cloud {name!r} is up.")
        return
    running.stop()
    screen.say(f"Stopped the local cloud {name!r}.")


@app.command()
def status(as_json: Json = False) -> None:
    """Show the local clouds that are up, and what is on them."""
    found = [entry for cloud in _running_clouds() if (entry := _told(cloud)) is not None]
    if as_json:
        _print_json({"clouds": found})
        return
    if not found:
        screen.say(f"No local cloud is up. Start one: {command_line()} up")
    for entry in found:
        memory = f"{entry['memory_bytes'] / 1e6:.0f} MB"
        screen.say(f"{entry['name']}  {entry['endpoint']}  process {entry['pid']}, {memory}")
        for stack in entry["stacks"]:
            screen.say(f"  {stack['name']}  {stack['status']}")
        if not entry["stacks"]:
            screen.say("  nothing deployed")


def _told(cloud: LocalCloud) -> dict[str, Any] | None:
    """A cloud that is up and what is on it; None for one that ended while it was asked."""
    from botocore.exceptions import BotoCoreError

    from local.cloud import CloudError
    from local.control import ControlError
    from local.deploy import stacks

    try:
        return {
            "name": cloud.name,
            "endpoint": cloud.endpoint_url,
            "pid": cloud.pid,
            "memory_bytes": cloud.control.health()["rss"],
            "stacks": [{"name": stack, "status": state} for stack, state in stacks(cloud).items()],
        }
    except (CloudError, ControlError, BotoCoreError, OSError):
        if cloud.alive():
            raise
        return None


@app.command()
def doctor(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="A port that a cloud is to be started on.")] = None,
) -> None:
    """Look for what keeps the project from running here."""
    from rich.text import Text

    from local.doctor import examine

    marks = {"ok": (screen.symbol("✓", "ok"), "green"), "note": (screen.symbol("•", "--"), "cyan")}
    problem = (screen.symbol("✗", "!!"), "bold red")
    problems = 0
    for finding in examine(_ignored_variables, port):
        problems += finding.state == "problem"
        screen.out.print(
            Text.assemble(marks.get(finding.state, problem), f" {finding.subject}: ", finding.text), soft_wrap=True
        )
        if finding.mend:
            screen.say(f"    {finding.mend}")
    if problems:
        screen.say(f"{problems} problem{'' if problems == 1 else 's'} found.")
        raise typer.Exit(FAILED)
    screen.say("Nothing stands in the way.")


@app.command()
def deploy(
    architecture: Id,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the stack; may be given several times."),
    ] = None,
    name: Name = DEFAULT_CLOUD,
    cloud: Cloud = Where.LOCAL,
) -> None:
    """Deploy an architecture to the local cloud that is up, after those that it needs and that are missing there."""
    chosen = _available(architecture)
    name = _chosen_cloud(cloud, name, chosen, "deploy")
    values = parse_settings(settings or [])
    running = _running(name)
    from local.assembly import synthesize
    from local.deploy import UPDATABLE, resources, stacks
    from local.deploy import deploy as deploy_stack

    with screen.step("Synthesizing the stack with the CDK", "Synthesized the stack with the CDK"):
        assembly = synthesize(chosen.id, settings={chosen.id: values} if values else None)
    _leave_it_to_the_cloud()
    standing = stacks(running)
    for needed in catalogue.with_needs(chosen)[:-1]:
        # As it stands there it was wanted so: it is not deployed over with other settings.
        if standing.get(needed.id) not in UPDATABLE:
            with screen.step(f"Deploying {needed.id}, which it needs", f"Deployed {needed.id}, which it needs") as step:
                deploy_stack(running, assembly, needed.id, step.detail)
                step.result = f"{len(resources(running, needed.id))} resources"
    with screen.step("Deploying the stack", "Deployed the stack") as step:
        outputs = deploy_stack(running, assembly, chosen.id, step.detail)
        step.result = f"{len(resources(running, chosen.id))} resources"
    width = max(map(len, outputs), default=0)
    for key, value in outputs.items():
        screen.say(f"{key:<{width}}  {value}")


@app.command()
def demo(  # noqa: PLR0917 (typer's way of naming options)
    architecture: Id,
    more: Annotated[list[Path] | None, typer.Argument(metavar="[MORE...]", help="More files for --file.")] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", "--image", metavar="PATH", help="A file of yours, or several."),
    ] = None,
    name: Name = DEFAULT_CLOUD,
    cloud: Cloud = Where.LOCAL,
    as_json: Json = False,
) -> None:
    """See an architecture at work. Without a running cloud it brings its own, and leaves nothing behind.

    The status is 0 when every input came to a result. A file that cannot be read as what it should be is rejected by
    the architecture with a reason, and that is a result. It is 1 when one failed or was lost.
    """
    chosen = _available(architecture)
    name = _chosen_cloud(cloud, name, chosen, "demo")
    if more and not file:
        raise MistakeError(f"What is {str(more[0])!r}? Files are named with --file, photographs with --image too.")
    _require_models(chosen)
    if name not in (DEFAULT_CLOUD, LOCALSTACK):
        _running(name)
    from local import demo as demonstration

    outcome = demonstration.run(chosen, [*(file or []), *(more or [])], screen, name)
    if as_json:
        _print_json(outcome.to_json())
    else:
        demonstration.show(outcome, screen, command_line())
    if not outcome.report.complete:
        raise typer.Exit(FAILED)


@app.command()
def destroy(architecture: Id, name: Name = DEFAULT_CLOUD, cloud: Cloud = Where.LOCAL) -> None:
    """Remove an architecture and all that it stored, but what its settings keep; those that it needed stay."""
    chosen = _available(architecture)
    name = _chosen_cloud(cloud, name, chosen, "destroy")
    running = _running(name)
    from local.deploy import destroy as destroy_stack
    from local.deploy import retained, stacks

    standing = stacks(running)
    if chosen.id not in standing:
        screen.say(f"{chosen.id} is not deployed on the local cloud {name!r}: there is nothing to destroy.")
        return
    if users := _deployed_users(chosen, standing):
        raise FailedError(
            f"{chosen.id} is needed by {' and '.join(users)}. Destroy what needs it first: "
            f"{command_line()} destroy {users[-1]}{_on(name)}"
        )
    _leave_it_to_the_cloud()
    kept = retained(running, chosen.id)
    with screen.step("Destroying the stack", "Destroyed the stack") as step:
        destroy_stack(running, chosen.id, step.detail)
    for kind, what in kept:
        screen.say(f"Kept, as its settings want it: {kind} {what}")
    remaining = {one: state for one, state in standing.items() if one != chosen.id}
    for needed in reversed(catalogue.with_needs(chosen)[:-1]):
        if needed.id in remaining and not _deployed_users(needed, remaining):
            screen.say(
                f"{needed.id}, which it needed, stays. To remove that too: "
                f"{command_line()} destroy {needed.id}{_on(name)}"
            )


@app.command()
def logs(
    architecture: Id,
    lines: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 100,
    name: Name = DEFAULT_CLOUD,
    cloud: Cloud = Where.LOCAL,
) -> None:
    """Show what the functions, jobs and endpoints of an architecture logged."""
    chosen = _available(architecture)
    name = _chosen_cloud(cloud, name, chosen, "logs")
    running = _running(name)
    from local.deploy import log_events

    _require_deployed(running, chosen, name)
    events = log_events(running, chosen.id, lines)
    for moment, group, message in events:
        screen.say(f"{moment:%H:%M:%S}  {HASH.sub('', group)}  {_readable(message)}")
    if not events:
        screen.say(f"{chosen.id} has logged nothing yet.")


@app.command()
def drift(
    architecture: Id,
    name: Name = DEFAULT_CLOUD,
    cloud: Cloud = Where.LOCAL,
    as_json: Json = False,
) -> None:
    """Compare what is deployed with its template. The status is 1 when something differs.

    What the local cloud is known not to keep is told, and no difference.
    """
    chosen = _available(architecture)
    name = _chosen_cloud(cloud, name, chosen, "drift")
    running = _running(name)
    from local import drift as drifting

    _require_deployed(running, chosen, name)
    report = drifting.look(running, chosen.id)
    if as_json:
        _print_json(report.to_json())
    else:
        for difference in report.differences:
            screen.say(str(difference))
        screen.say(f"{report.compared} properties compared, {len(report.differences)} differ.")
        for what, told in (("Not kept by the local cloud", report.not_kept), ("Not read", report.not_read)):
            for (kind, part), reason in sorted(told.items()):
                screen.say(f"{what}: {kind} {'' if part == '*' else part}: {reason}.".replace(" :", ":"))
    if report.differences:
        raise typer.Exit(FAILED)


@app.command()
def permissions(
    architecture: Id,
    name: Name = DEFAULT_CLOUD,
    cloud: Cloud = Where.LOCAL,
    as_json: Json = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="The status is 1 unless there is nothing to mend, unused grants included.")
    ] = False,
) -> None:
    """Compare what each role may do with what it did.

    Where the architecture is deployed, with what it did since the cloud started; else its samples are put through a
    copy first. The status is 1 when something was refused; with --strict also when a grant is unused and not
    acknowledged, when an acknowledgement is stale, or when nobody has used the stack.
    """
    chosen = _available(architecture)
    name = _chosen_cloud(cloud, name, chosen, "permissions")
    if name not in (DEFAULT_CLOUD, LOCALSTACK):
        _running(name)
    _require_models(chosen)
    from local import demo as demonstration
    from local import demos
    from local import permissions as proof

    with demonstration.standing(chosen, screen, name) as stands:
        if not stands.stack_was_there:
            with screen.step("Running its scenario", "Ran its scenario"):
                its = demos.of(chosen.id)
                its.run(stands.cloud, stands.outputs, its.sample_files(), lambda _: None)
        report = proof.report(stands.cloud, stands.stack, stands.cloud.control.decisions(), architecture=chosen.id)
    if as_json:
        _print_json(report.to_json())
    else:
        proof.render(report, screen.out)
        if any(unit.status is proof.Status.UNUSED and not unit.acknowledged for unit in report.units):
            screen.say("What is unused here may be for failures: inputs that are fine cause none. The tests do.")
    if report.count(proof.Status.MISSING) or (strict and not report.ok):
        raise typer.Exit(FAILED)


@app.command()
def cost(
    architecture: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The architecture, as `list` names it; all without it.")
    ] = None,
    per_day: Annotated[
        int | None,
        typer.Option("--requests-per-day", metavar="N", help="Images, documents, calls, ...: so many a day."),
    ] = None,
    assume: Annotated[
        list[str] | None,
        typer.Option("--assume", metavar="NAME=NUMBER", help="Another size of an input; may be given several times."),
    ] = None,
    region: Annotated[str, typer.Option(help="Whose prices.")] = "us-east-1",
    as_json: Json = False,
) -> None:
    """Count what an architecture costs: while idle, for a thousand inputs, and for a month of a workload."""
    from local import estimates

    if refusal := estimates.unknown_region(region):
        raise MistakeError(refusal)
    if architecture is None:
        if assume:
            raise MistakeError(
                f"--assume {assume[0]}: of which architecture? Name it: {command_line()} cost ID --assume ..."
            )
        built = catalogue.available()
        if as_json:
            _print_json(estimates.all_to_json(built, per_day, region))
        else:
            estimates.show_all(built, per_day, region, screen)
        return
    chosen = _available(architecture)
    assumed = _parse_numbers("--assume", assume or [])
    if as_json:
        _print_json(estimates.one_to_json(chosen, per_day, assumed, region))
    else:
        estimates.show_one(chosen, per_day, assumed, region, screen)


@app.command()
def scale(  # noqa: PLR0917 (typer's way of naming options)
    architecture: Id,
    per_day: Annotated[
        int | None, typer.Option("--objects-per-day", metavar="N", help="One load; 1,000 to 100 million without it.")
    ] = None,
    burst: Annotated[
        float | None, typer.Option(metavar="FACTOR", help="So many times as busy is the first day's busiest hour.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=NUMBER", help="A setting of the stack; may be given several times."),
    ] = None,
    quotas: Annotated[
        list[str] | None,
        typer.Option("--quota", metavar="NAME=NUMBER", help="A quota after a raise; may be given several times."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Simulate on paper how much an architecture carries: what is full first, and which quota to raise."""
    from local import estimates
    from stacks.policy.scale import usual_burst, way

    chosen = _available(architecture)
    one = way(chosen.id, _parse_numbers("--quota", quotas or []), _parse_numbers("--set", settings or []))
    factor = usual_burst() if burst is None else burst
    if as_json:
        _print_json(estimates.scale_to_json(chosen, one, per_day, factor))
    else:
        estimates.show_scale(chosen, one, per_day, factor, screen)


def _deployed_users(architecture: Architecture, standing: Mapping[str, str]) -> list[str]:
    """Those of the standing stacks that import from this architecture's, in the order in which they were deployed."""
    return [one.id for one in catalogue.ARCHITECTURES if architecture.id in one.needs and one.id in standing]


def _available(architecture_id: str) -> Architecture:
    architecture = catalogue.get(architecture_id)
    if architecture.status != "available":
        raise MistakeError(
            f"{architecture.id} is planned, not built yet. Built: {', '.join(one.id for one in catalogue.available())}"
        )
    return architecture


def _require_deployed(cloud: LocalCloud, architecture: Architecture, name: str) -> None:
    from local.deploy import stacks

    if architecture.id not in stacks(cloud):
        raise FailedError(
            f"{architecture.id} is not deployed on the local cloud {name!r}. Deploy it: "
            f"{command_line()} deploy {architecture.id}{_on(name)}"
        )


def _require_models(architecture: Architecture) -> None:
    """Raises FailedError where the models that the architecture needs here are not installed."""
    import importlib.util

    if architecture.models == "language" and importlib.util.find_spec("spacy") is None:
        raise FailedError(
            f"{architecture.id} needs the models for documents, text and speech. Install them: make setup-language"
        )
    if architecture.models == "training" and importlib.util.find_spec("xgboost") is None:
        raise FailedError(f"{architecture.id} needs what trains and serves models. Install it: make setup-training")


def _chosen_cloud(where: Where, name: str, architecture: Architecture, verb: str) -> str:
    """The name of the cloud that is meant. Raises MistakeError where the command makes no sense on that one."""
    if where is Where.AWS:
        mend = {
            "deploy": f"To deploy to one: make deploy ARCH={architecture.id} CLOUD=aws",
            "destroy": f"To remove what is in one: make destroy ARCH={architecture.id} CLOUD=aws",
            "demo": f"To run the scenario in one: make scenario ARCH={architecture.id} CLOUD=aws",
        }.get(verb, f"`{verb}` works on the local cloud only; {architecture.page} says how to see it in an account.")
        raise MistakeError(f"This command never touches an AWS account. {mend}")
    name = _named(name, where)
    if name == LOCALSTACK:
        from scenarios.clouds import where_a_demo_runs, where_it_runs

        if verb == "drift":
            raise MistakeError("What a stack is compared with is what the local cloud is known to keep: --cloud local.")
        if verb == "permissions":
            raise MistakeError("LocalStack's core judges no permission: prove them on the local cloud, --cloud local.")
        look = where_a_demo_runs if verb == "demo" else where_it_runs
        if verb in ("demo", "deploy") and (reason := look(LOCALSTACK, architecture.id)) is not None:
            raise MistakeError(f"{architecture.id} does not run on LocalStack: {reason}. Use --cloud local.")
    return name


def _never_an_account(where: Where) -> None:
    if where is Where.AWS:
        raise MistakeError("This command never touches an AWS account: it is about clouds on this machine.")


def _named(name: str, where: Where) -> str:
    """The name of a cloud, where `--cloud` may stand for it. Raises MistakeError where the two contradict."""
    if where is not Where.LOCALSTACK:
        return name
    if name not in (DEFAULT_CLOUD, LOCALSTACK):
        raise MistakeError(
            f"--name {name} is an embedded cloud's; there is one LocalStack. Leave --name or --cloud localstack away."
        )
    return LOCALSTACK


def _on(name: str) -> str:
    """The option that a suggested command needs to mean this cloud."""
    if name == LOCALSTACK:
        return " --cloud localstack"
    return "" if name == DEFAULT_CLOUD else f" --name {name}"


def _running(name: str) -> LocalCloud:
    from local.localstack.cloud import find

    cloud = find(name)
    if cloud is None:
        raise FailedError(f"No local cloud {name!r} is up. Start one: {command_line()} up{_on(name)}")
    return cloud


def _users_localstack() -> str | None:
    """Where the user's own LocalStack answers; None where there is none, whatever the environment names."""
    from local.cloud import CloudError
    from local.localstack.cloud import OwnLocalStack, own

    with contextlib.suppress(CloudError):
        if isinstance(found := own(), OwnLocalStack):
            return found.endpoint_url
    return None


def _running_clouds() -> list[LocalCloud]:
    from local.cloud import STATE, LocalCloud

    names = sorted(folder.name for folder in STATE.iterdir()) if STATE.is_dir() else []
    return [cloud for name in names if (cloud := LocalCloud.attach(name))]


def _leave_it_to_the_cloud() -> None:
    """From here on an interrupted command has handed over what the cloud then does without it."""
    _what_interruption_means.append(
        f"The local cloud goes on with what it has begun: `{command_line()} status` shows how the stack stands."
    )


def _readable(message: str) -> str:
    """A structured log line in words: level, message, and the fields that differ from line to line."""
    try:
        fields = json.loads(message)
    except ValueError:
        return message
    if not isinstance(fields, dict) or not {"level", "message"} <= fields.keys():
        return message
    told = {name: value for name, value in fields.items() if name not in SAME_ON_EVERY_LINE}
    return " ".join([fields["level"], str(fields["message"]), *(f"{name}={value}" for name, value in told.items())])


def _parse_numbers(option: str, texts: Sequence[str]) -> dict[str, float]:
    """NAME=NUMBER, as often as it is given. Raises MistakeError for what is no finite number."""
    values: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        try:
            values[name] = float(number)
        except ValueError:
            equals = ""
        if not name or not equals or not math.isfinite(values[name]):
            raise MistakeError(f"{option} {text}: write it as NAME=NUMBER.")
    return values


def _show_list(chosen: Sequence[Architecture]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD if screen.symbol("─", "") else box.ASCII, pad_edge=False, header_style="bold")
    for heading in ("Architecture", "Theme", "Status"):
        table.add_column(heading, no_wrap=True)
    table.add_column("What it does", overflow="fold")
    for one in chosen:
        style = "green" if one.status == "available" else "dim"
        title = Text(one.title)
        if one.availability:
            title.append("  *", style="yellow")
        table.add_row(
            Text(one.id, "bold" if one.status == "available" else ""), one.theme, Text(one.status, style), title
        )
    screen.out.print(table)
    available = sum(one.status == "available" for one in chosen)
    count = f"{len(chosen)} architecture{'' if len(chosen) == 1 else 's'}, {available} available"
    screen.say(f"{count}: {command_line()} demo ID shows one at work.")
    if any(one.availability for one in chosen):
        screen.say("* has a variant that a new AWS account cannot use; the default stack does without.")


def _print_json(answer: object) -> None:
    # Where the output's encoding lacks a name's characters, JSON can still say them.
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(answer, indent=2, ensure_ascii=not utf8))


def _open_closed_streams() -> None:
    """What the caller has closed (`>&-`) leads to nowhere: else the next file or socket would take its place."""
    # The system gives the lowest free number, so this fills what is missing of 0, 1 and 2.
    while (number := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(STANDARD_OUTPUT, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(STANDARD_ERROR, "w", encoding="utf-8", closefd=False)


def _end_on_signals() -> None:
    """Lets a terminal that closes, or `kill`, end a command as Ctrl-C does: tidily, and nothing cuts that short."""

    def end(*_: object) -> NoReturn:
        for one in wanted:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for one in wanted:
        # A signal that the caller has switched off (nohup) stays off.
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, end)


def _explain(error: BaseException) -> int:
    """Says in a line what went wrong and returns the exit status; raises what only a bug can be."""
    if isinstance(error, typer.Exit):
        return error.exit_code
    status, message = _line(error)
    if message is None:
        raise error
    for line in message.splitlines():
        screen.complain(line)
    return status


def _line(error: BaseException) -> tuple[int, str | None]:
    from local.assembly import SettingsRefusedError, SynthesisError
    from local.cloud import CloudError
    from local.control import ControlError
    from local.deploy import DeployError
    from local.files import FilesRefusedError
    from local.guard import LeftLoopback
    from stacks.policy.costs import WorkloadRefusedError
    from stacks.policy.scale import ScaleRefusedError

    mistakes = (MistakeError, FilesRefusedError, SettingsRefusedError, WorkloadRefusedError, ScaleRefusedError)
    if isinstance(error, (*mistakes, catalogue.UnknownArchitectureError)):
        return MISTAKE, str(error)
    if isinstance(error, typer.TyperException):
        message = error.format_message().rstrip(".")
        context = getattr(error, "ctx", None)
        return error.exit_code, f"{message}. `{getattr(context, 'command_path', command_line())} --help` shows its use."
    if isinstance(error, (FailedError, CloudError, ControlError, DeployError, SynthesisError, LeftLoopback)):
        return FAILED, str(error)
    if isinstance(error, OSError):
        return FAILED, _os_error(error)
    if type(error).__module__.startswith("botocore."):
        return FAILED, f"The cloud refused a call or did not answer: {' '.join(str(error).split())}"
    return FAILED, None


def _os_error(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    mends = {
        errno.ENOSPC: "The disk is full: free some space and try again.",
        errno.EDQUOT: "Your disk quota is used up: free some space and try again.",
        errno.EROFS: "The folder is read-only: work in a copy that you may write to.",
        errno.EACCES: "Not permitted: make it writable for you.",
        errno.EMFILE: "Too many open files: raise the limit with `ulimit -n 4096`.",
    }
    return f"{mends.get(error.errno or 0, error.strerror or str(error))}{place}"
