"""Fails any connection that leaves this machine, in this process and in its children, Python or Node.

The demo and the tests promise to need no network. The guard turns that promise into a check: a look-up of a name, a
connection or a datagram to anything but loopback raises `LeftLoopback` with the address. In Python so does a server
that would listen on another interface. A server of Node may listen anywhere, because it does so on every interface
unless it is told otherwise; what it reaches out to is refused all the same. The guard is against accidents, not against
malice: native code can go around it.
"""

import os
import sys
from typing import Any

FOLDER = os.path.dirname(os.path.abspath(__file__))


class LeftLoopback(RuntimeError):  # noqa: N818 (not an OSError: code that retries on network errors must not hide it)
    """Something tried to reach, or to be reached by, more than this machine. The message names the address."""


# A child was guarded before it could import this: then its guard's error is the one to know.
_earlier = sys.modules.get("_loopback_guard") if __name__ != "_loopback_guard" else None
if _earlier is not None:
    LeftLoopback = _earlier.LeftLoopback  # type: ignore[misc]  # (the same class, loaded from this very file)


def is_loopback(host: object) -> bool:
    """Whether a host name or address stays on this machine. No name is resolved."""
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("ascii", "replace")
    if host is None:
        return True
    name = str(host).lower().rstrip(".").partition("%")[0].removeprefix("::ffff:")
    return name in ("localhost", "::1") or (name.startswith("127.") and name.replace(".", "").isdigit())


def _check(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _NAME_EVENTS:
        host = arguments[0]
    elif event == "socket.getnameinfo":
        host = arguments[0][0]
    elif event in _ADDRESS_EVENTS:
        address = arguments[1]
        if not isinstance(address, tuple):
            return
        host = address[0]
    else:
        return
    if event in _OUTGOING and _isolated:
        raise LeftLoopback(f"Refused to reach {host!s}: this process has no network, not even this machine's.")
    if not is_loopback(host):
        verb = "listen on" if event == "socket.bind" else "reach"
        raise LeftLoopback(f"Refused to {verb} {host or 'every interface'!s}: only this machine may be used here.")


_NAME_EVENTS = frozenset(
    {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"},
)
# An address tuple stands second; a connected socket's sendmsg carries None, a Unix socket's a string.
_ADDRESS_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"})
_OUTGOING = _ADDRESS_EVENTS - {"socket.bind"}

_ISOLATION = "LOCAL_NETWORK_ISOLATION"
_isolated = os.environ.get(_ISOLATION) == "1"
_installed = _earlier is not None


def install() -> None:
    """Guard this process for good: an audit hook cannot be taken out again. A second call does nothing."""
    global _installed  # noqa: PLW0603 (one hook a process)
    if not _installed:
        _installed = True
        sys.addaudithook(_check)


def isolation() -> dict[str, str]:
    """Variables that, beside those of `environment`, keep a Python child from connecting to anything at all.

    It may still listen, so that others can ask it something.
    """
    return {_ISOLATION: "1"}


def environment() -> dict[str, str]:
    """Variables that guard a child process, Python (by `sitecustomize`) or Node (by a preloaded module)."""
    preload = os.path.join(FOLDER, "preload.cjs").replace("\\", "\\\\").replace('"', '\\"')
    return {"PYTHONPATH": os.path.join(FOLDER, "site"), "NODE_OPTIONS": f'--require "{preload}"'}
