"""The guard must bite: what leaves this machine fails, in this process and in children, Python and Node."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from local import guard
from local.cloud import ROOT, LocalCloud
from local.environment import child_environment, node_folder
from local.guard import LeftLoopback
from tests.local.emulated import make_function, make_role

# Documentation addresses (RFC 5737, RFC 3849): nobody answers there, should the guard fail.
FAR = "192.0.2.1"
FAR_V6 = "2001:db8::1"


def connect(family: socket.AddressFamily, address: tuple[Any, ...]) -> None:
    with socket.socket(family) as client:
        client.settimeout(0.2)
        client.connect(address)


def send_datagram(address: tuple[Any, ...]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", address)


def listen_on(address: tuple[Any, ...]) -> None:
    with socket.socket() as server:
        server.bind(address)


@pytest.mark.parametrize(
    ("attempt", "named"),
    [
        (lambda: connect(socket.AF_INET, (FAR, 443)), FAR),
        (lambda: connect(socket.AF_INET6, (FAR_V6, 443, 0, 0)), FAR_V6),
        (lambda: socket.create_connection(("127.0.0.1.example.com", 443)), "127.0.0.1.example.com"),
        (lambda: connect(socket.AF_INET, ("0.0.0.0", 443)), "0.0.0.0"),
        (lambda: send_datagram((FAR, 53)), FAR),
        (lambda: socket.getaddrinfo("example.com", 443), "example.com"),
        (lambda: socket.gethostbyname("example.com"), "example.com"),
        (lambda: socket.getnameinfo((FAR, 443), 0), FAR),
        (lambda: socket.getnameinfo((FAR_V6, 443, 0, 0), 0), FAR_V6),
        (lambda: listen_on(("0.0.0.0", 0)), "0.0.0.0"),
        (lambda: listen_on(("", 0)), "every interface"),
    ],
)
def test_leaving_loopback_fails_and_names_the_address(attempt: Callable[[], object], named: str) -> None:
    # Given the guard (conftest installs it), When something leaves this machine, Then it fails at once
    with pytest.raises(LeftLoopback, match="only this machine") as raised:
        attempt()
    assert named in str(raised.value)


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", None])
def test_loopback_is_let_through(name: str | None) -> None:
    # Given a loopback name, When it is asked about, Then it may pass
    assert guard.is_loopback(name)


@pytest.mark.parametrize(
    "name", ["", "localhost.example.com", "127.evil.com", "0.0.0.0", "10.0.0.1", "::", "1.127.0.0"]
)
def test_look_alikes_are_not_let_through(name: str) -> None:
    # Given a name that only looks like loopback, When it is asked about, Then it may not pass
    assert not guard.is_loopback(name)


def test_local_connections_still_work() -> None:
    # Given a guarded process, When it connects to itself by TCP and by a Unix socket pair, Then that works
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=2).close()
    left, right = socket.socketpair()
    left.sendall(b"x")
    assert right.recv(1) == b"x"
    left.close()
    right.close()


def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=30, check=False)


def test_a_python_child_is_guarded_without_knowing_it() -> None:
    # Given a child that imports nothing of this project, When it connects far away, Then it fails for that reason
    program = f"import urllib.request; urllib.request.urlopen('http://{FAR}/', timeout=1)"
    ended = run([sys.executable, "-c", program])
    assert ended.returncode != 0
    assert "LeftLoopback" in ended.stderr
    assert FAR in ended.stderr


def test_a_child_of_any_test_is_guarded() -> None:
    # Given a Python and a Node program started with no thought of the guard, When they connect far away
    for command in (
        [sys.executable, "-c", f"import socket; socket.create_connection(('{FAR}', 443), 0.2)"],
        [str(node_folder() / "node"), "-e", f"require('net').connect(443, '{FAR}')"],
    ):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        # Then they fail for that reason
        assert ended.returncode != 0
        assert f"Refused to reach {FAR}" in ended.stderr


def test_the_command_guards_itself_while_the_demo_runs() -> None:
    # Given a demo that connects far away, in a process that nobody else guards
    program = f"""
import socket, sys
from local import __main__, demo

def reach_out(*_):
    socket.create_connection(("{FAR}", 443), 0.2)

demo.run = reach_out
sys.argv = ["local", "demo", "image-labeling"]
sys.exit(__main__.main())
"""
    unguarded = {name: value for name, value in os.environ.items() if name not in guard.environment()}
    # When the command runs it, Then it fails for that reason, in a line
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=unguarded,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert f"Refused to reach {FAR}: only this machine may be used here." in ended.stderr


@pytest.mark.parametrize(
    "program",
    [
        f"require('net').connect(443, '{FAR}')",
        f"require('net').connect({{host: '{FAR}', port: 443}})",
        f"require('http').get('http://{FAR}/')",
        "require('https').get('https://example.com/')",
        "require('dns').lookup('example.com', () => {})",
        "require('dns').promises.resolve4('example.com')",
        f"fetch('http://{FAR}/').catch((error) => {{ throw error.cause ?? error; }})",
        f"require('dgram').createSocket('udp4').send('x', 53, '{FAR}')",
        f"require('dgram').createSocket('udp4').connect(53, '{FAR}')",
        f"require('dgram').createSocket('udp6').connect(53, '{FAR_V6}')",
        "new (require('dns').Resolver)().resolve4('example.com', () => {})",
        "new (require('dns').promises.Resolver)().resolve4('example.com')",
        f"new (require('dns').Resolver)().reverse('{FAR}', () => {{}})",
        f"require('dns').lookupService('{FAR}', 443, () => {{}})",
        f"require('dns').promises.lookupService('{FAR}', 443)",
        f"require('dns').reverse('{FAR}', () => {{}})",
        "import('node:dns').then((dns) => dns.lookup('example.com', () => {}))",
        "import('node:dns').then((dns) => new dns.Resolver().resolveTxt('example.com', () => {}))",
        "import('node:dns/promises').then((dns) => dns.resolveAny('example.com'))",
    ],
)
def test_a_node_child_is_guarded(program: str) -> None:
    # Given a Node program, When it leaves this machine, Then it fails for that reason
    ended = run(["node", "-e", program])
    assert ended.returncode != 0
    assert "only this machine may be used here" in ended.stderr


def test_a_node_child_may_use_loopback() -> None:
    # Given a Node program that talks to itself over HTTP by address and by name, When it runs, Then it works
    program = """
    const http = require("http");
    const server = http.createServer((_, answer) => answer.end("hello")).listen(0, "127.0.0.1", async () => {
      for (const host of ["127.0.0.1", "localhost"])
        console.log(await (await fetch(`http://${host}:${server.address().port}/`)).text());
      server.close();
    });
    """
    ended = run(["node", "-e", program])
    assert (ended.returncode, ended.stdout) == (0, "hello\nhello\n"), ended.stderr


def test_a_node_child_may_send_datagrams_to_itself() -> None:
    # Given a Node program with a socket that it connects to another of its own
    program = """
    const dgram = require("dgram");
    const [one, other] = [dgram.createSocket("udp4"), dgram.createSocket("udp4")];
    other.on("message", (text) => { console.log(String(text)); one.close(); other.close(); });
    other.bind(0, "127.0.0.1", () =>
      one.connect(other.address().port, "127.0.0.1", () => one.send("hello")));
    """
    # When it runs, Then the datagram arrives
    ended = run(["node", "-e", program])
    assert (ended.returncode, ended.stdout) == (0, "hello\n"), ended.stderr


@pytest.mark.parametrize(
    "listen",
    [
        "require('net').createServer().listen(0, done)",
        "require('net').createServer().listen(0, '0.0.0.0', done)",
        "require('net').createServer().listen(0, '::', done)",
        "require('dgram').createSocket('udp4').bind(0, done)",
    ],
)
def test_a_node_server_may_listen_where_node_puts_it_and_still_not_reach_out(listen: str) -> None:
    # Given a Node server that names no interface, or every one, and then connects far away
    program = f"function done() {{ console.log('listens'); require('net').connect(443, '{FAR}'); }} {listen}"
    # When it runs, Then it listens, and only the connection fails
    ended = run(["node", "-e", program])
    assert ended.stdout == "listens\n", ended.stderr
    assert ended.returncode != 0
    assert f"Refused to reach {FAR}" in ended.stderr


def test_a_handler_is_guarded(cloud: LocalCloud) -> None:
    # Given a function that calls far away, When it is invoked, Then it fails for that reason
    source = f"import socket\ndef handler(event, context):\n    socket.create_connection(('{FAR}', 443), 1)\n"
    name = make_function(cloud, source, make_role(cloud))
    answer = cloud.client("lambda").invoke(FunctionName=name)
    assert answer["FunctionError"]
    assert FAR in answer["Payload"].read().decode()


def test_a_path_with_a_space_is_no_trouble(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the project in a folder whose name has a space and a quote
    folder = os.path.join(tmp_path, 'my "guard" folder')
    os.symlink(guard.FOLDER, folder)
    monkeypatch.setattr(guard, "FOLDER", folder)
    # When a Node child runs, Then the guard is found and bites
    ended = run(["node", "-e", f"require('net').connect(443, '{FAR}')"])
    assert "only this machine may be used here" in ended.stderr
