"""Whose account it is, whether it is a sandbox, and what is said where it cannot be used."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.deploy import stacks as deployed
from sandbox import cli, deployment, plan, sanction, scenario, stacks
from sandbox.account import AccountError, RefusedError, connect, plain_errors
from sandbox.plan import PlannedStack
from stacks import cdk_cli
from stacks.catalogue import available, get

ROOT = Path(__file__).resolve().parents[2]
NUMBER = "123456789012"
TOOLKIT = {"StackName": "CDKToolkit"}


def account(*aliases: str, denied: bool = False) -> Any:
    """An account with these aliases, which may be hidden from the credentials."""

    def list_account_aliases() -> dict[str, Sequence[str]]:
        if denied:
            raise refusal("AccessDenied")
        return {"AccountAliases": aliases}

    return SimpleNamespace(
        number=NUMBER, client=lambda service: SimpleNamespace(list_account_aliases=list_account_aliases)
    )


def refusal(code: str, operation: str = "ListAccountAliases") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


def tagged(value: str) -> dict[str, Any]:
    return {**TOOLKIT, "Tags": [{"Key": "sandbox", "Value": value}]}


def test_the_bootstrap_stacks_tag_says_so_first() -> None:
    assert "tag sandbox=true" in sanction.reason(account("prod"), tagged("true"), None)


@pytest.mark.parametrize("alias", ["acme-sandbox-7", "sandbox", "sandbox-acme"])
def test_an_alias_with_the_word_says_so(alias: str) -> None:
    assert alias in sanction.reason(account("acme", alias), TOOLKIT, None)


@pytest.mark.parametrize("alias", ["acme-prod", "sandboxed-prod", "nosandbox"])
def test_another_alias_does_not_and_the_number_has_to_be_typed(alias: str) -> None:
    with pytest.raises(sanction.NotASandboxError, match=f"--confirm-sandbox {NUMBER}"):
        sanction.reason(account(alias), TOOLKIT, None)
    assert sanction.reason(account(alias), None, NUMBER) == "you typed its number"


def test_who_may_not_read_the_alias_types_the_number() -> None:
    with pytest.raises(sanction.NotASandboxError):
        sanction.reason(account(denied=True), None, None)
    assert sanction.reason(account(denied=True), None, NUMBER)


@pytest.mark.parametrize("value", ["false", "no", ""])
def test_an_account_that_says_it_is_none_is_refused_whatever_is_typed(value: str) -> None:
    with pytest.raises(sanction.NotASandboxError, match="no sandbox"):
        sanction.reason(account("acme-sandbox"), tagged(value), NUMBER)


def test_another_account_than_the_typed_one_is_refused() -> None:
    with pytest.raises(AccountError, match=f"210987654321.*{NUMBER}.*AWS_PROFILE"):
        sanction.reason(account("acme-sandbox"), tagged("true"), "210987654321")


def test_the_command_refuses_before_it_synthesizes(
    shell: LocalCloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an account of which nothing says that it is a sandbox
    monkeypatch.setattr(cli, "_synthesized", lambda *_: pytest.fail("synthesized"))
    # When something is to be deployed there, Then one line says how to go on
    assert cli.main(["deploy", "image-labeling", "--yes"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--confirm-sandbox {shell.account}" in line


def test_nobody_to_ask_is_a_refusal(
    shell: LocalCloud, for_aws: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a sandbox, and no terminal
    monkeypatch.setattr(cli, "_synthesized", lambda *_: for_aws)
    monkeypatch.setattr(plan, "problems", lambda *_, **__: [])
    monkeypatch.setattr(deployment, "deploy", lambda *_, **__: pytest.fail("deployed"))
    # When something is to be deployed without --yes, Then nothing is, and that is said
    assert cli.main(["deploy", "speech-synthesis", "--confirm-sandbox", shell.account]) == 2
    assert "--yes" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no AWS credentials"),
        ({"AWS_SECRET_ACCESS_KEY": None}, "part of the AWS credentials is missing"),
        ({"AWS_REGION": None, "AWS_DEFAULT_REGION": None}, "export AWS_REGION=us-east-1"),
        ({"AWS_PROFILE": "nobody"}, "aws configure list-profiles"),
        ({"AWS_ENDPOINT_URL": "https://127.0.0.1:9"}, "https://127.0.0.1:9 does not answer"),
        ({"AWS_CA_BUNDLE": None, "SSL_CERT_FILE": None, "REQUESTS_CA_BUNDLE": None}, "AWS_CA_BUNDLE"),
        ({"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}, "does not know these credentials"),
    ],
    ids=["no credentials", "half", "no region", "no profile", "no endpoint", "not trusted", "unknown keys"],
)
def test_what_is_wrong_with_the_shell_is_one_line(
    shell: LocalCloud,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str | None],
    said: str,
) -> None:
    # Given a shell in which one thing is wrong
    for name, value in changes.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    # When an account is to be used
    status = cli.main(["leftovers", "image-labeling"])
    # Then one line says what, and nothing is shown
    told = capsys.readouterr()
    assert status == 1
    (line,) = told.err.splitlines()
    assert said in line
    assert not told.out


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        ("ExpiredToken", "have expired: sign in again", AccountError),
        ("SignatureDoesNotMatch", "does not know these credentials", AccountError),
        ("AccessDenied", "may not call DescribeStacks", RefusedError),
        ("Throttling", "Looking failed: DescribeStacks: Throttling: no", AccountError),
    ],
)
def test_what_aws_answers_is_one_line(code: str, said: str, kind: type[AccountError]) -> None:
    with pytest.raises(kind, match=said), plain_errors("Looking"):
        raise refusal(code, "DescribeStacks")


def test_a_scenario_without_its_stack_says_how_to_deploy(shell: LocalCloud) -> None:
    # Given an architecture that no other test has deployed, When its scenario is asked for, Then the way is told
    standing = deployed(shell)
    absent = next(one for one in available() if one.id not in standing)
    with pytest.raises(AccountError, match=f"make deploy ARCH={absent.id} CLOUD=aws"):
        scenario.outputs(connect(), absent)


def test_a_scenario_that_aws_cannot_run_is_told_as_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    # Given no account at all, When it is asked for, Then the reason is told, and that is no failure
    assert cli.main(["scenario", "model-monitor", "--yes"]) == 0
    assert capsys.readouterr().out.startswith("not run: model-monitor: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deploy", "image-labelling"], "Did you mean image-labeling"),
        (["deploy", "load-test"], "planned"),
        (["deploy", "image-labeling", "--destroy-after", "0"], "--destroy-after 0"),
        (["deploy", "image-labeling", "--destroy-after", "0.5"], "from 1 to 720 hours"),
        (["deploy", "image-labeling", "--set", "minimum_confidence"], "KEY=VALUE"),
        (["deploy", "image-labeling", "--app", "cdk.out"], "--app is for --plan"),
        (["deploy", "image-labeling", "--nonsense"], "--nonsense"),
    ],
)
def test_a_users_mistake_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert cli.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_what_is_deployed_is_what_was_planned(
    shell: LocalCloud, for_aws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a plan for an account without a bootstrap, where one needed stack stands
    ran: list[list[str]] = []

    def cdk(arguments: Sequence[str]) -> int:
        ran.append(list(arguments))
        return 0

    monkeypatch.setattr(cdk_cli, "main", cdk)
    now = datetime.datetime(2026, 12, 1, tzinfo=datetime.timezone.utc)
    states = {"training-pipeline": "CREATE_COMPLETE", "realtime-endpoint": None}
    # It is removed by itself, and CDK's stack is old and has a tag of its own
    removal = PlannedStack(
        "self-destruct-realtime-endpoint", "", None, kept=False, resources={}, services={}, usd_a_month=0
    )
    mark = [{"Key": "cost-center", "Value": "7"}]
    monkeypatch.setattr(stacks, "described", lambda _, name: {"Tags": mark} if name == sanction.TOOLKIT else None)
    monkeypatch.setattr(plan, "VERSION_PARAMETER", "/none/version")
    wishes = plan.Wishes(confirmed=shell.account)
    drawn = plan.draw(connect(), get("realtime-endpoint"), for_aws, wishes, now, states=states)
    # When it is carried out, unasked
    deployment.deploy(replace(drawn, stacks=(*drawn.stacks, removal)), for_aws, asked=True)
    # Then the account is bootstrapped, and told a sandbox; what removes the stack is there before it; and the one
    # stack is deployed over no other
    bootstrap, first, deploy = ran
    assert first[-1] == "self-destruct"
    assert "cost-center=7" in bootstrap
    assert bootstrap[:2] == ["bootstrap", f"aws://{shell.account}/us-east-1"]
    assert "sandbox=true" in bootstrap
    assert "--exclusively" in deploy
    assert deploy[-3:] == ["--require-approval", "never", "realtime-endpoint"]


def test_a_command_line_that_fails_ends_it(shell: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a CDK command line that cannot be run, and has said so, Then the rest is not tried
    monkeypatch.setattr(cdk_cli, "main", lambda arguments: 1)
    with pytest.raises(AccountError, match="`cdk deploy` ended with status 1"):
        deployment._cdk(["deploy"])


def test_a_removal_of_stacks_that_stay_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a chain, and what removes all of it by itself
    chain = ["model-monitor", "realtime-endpoint", "training-pipeline"]
    outputs = {"At": "2026-12-01T10:00:00+00:00", "Stacks": ",".join(chain)}
    told = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
    stack = {"StackStatus": "CREATE_COMPLETE", "Outputs": told}
    there = {name: stack for name in ("self-destruct-model-monitor", *chain)}  # noqa: C420 (nobody changes it)
    monkeypatch.setattr(stacks, "described", lambda _, name: there.get(name))
    # When the last of the chain is removed by hand, Then the others are still to be removed
    doomed = cli._doomed(account(), get("model-monitor"))
    assert cli._still_wanted(account(), doomed) == {"self-destruct-model-monitor": chain[1:]}
    # When all are, or the others went before, Then what removes them goes with them
    assert cli._still_wanted(account(), cli._doomed(account(), get("training-pipeline"))) == {}
    del there["realtime-endpoint"], there["training-pipeline"]
    assert cli._still_wanted(account(), doomed) == {}


def test_the_command_line_starts_without_the_cdk_and_its_node() -> None:
    # Given a process that cannot find Node, When the command line is loaded, Then the CDK is not, which starts it
    code = "import sys, sandbox.cli; print([one for one in ('aws_cdk', 'jsii') if one in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_what_needs_it_goes_first_and_what_removes_it_by_itself_before(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the stacks of a chain, and what would remove the last by itself
    there = {"training-pipeline", "realtime-endpoint", "model-monitor", "self-destruct-model-monitor"}
    monkeypatch.setattr(stacks, "described", lambda _, name: {"StackName": name} if name in there else None)
    # When the first is to be removed, Then all go, in the order in which nothing is needed any more
    assert cli._doomed(account(), get("training-pipeline")) == [
        "self-destruct-model-monitor",
        "model-monitor",
        "realtime-endpoint",
        "training-pipeline",
    ]
    assert cli._doomed(account(), get("model-monitor")) == ["self-destruct-model-monitor", "model-monitor"]
