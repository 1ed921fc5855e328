"""The process between a LocalStack core and the project: `python -m local.localstack FOLDER`.

`local.localstack.cloud` starts it; nobody else needs to. It starts the core, serves what the core's plug-ins ask for,
and ends with the core, or the core with it.
"""

import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from local import guard, lifeline
from local.localstack import core, plugins


def main() -> None:
    """Serve until the lifeline breaks, a signal comes or the core ends. The whole process group ends then."""
    folder = Path(sys.argv[1])
    settings = lifeline.settings_of(folder)
    guard.install()
    lifeline.hold(detached=settings["detached"])
    listener = socket.socket(fileno=settings["listener"])
    started = _start(folder, settings)
    threading.Thread(target=_end_with, args=[started], name="core", daemon=True).start()

    from local.localstack import host

    endpoint = f"http://{core.HOST}:{settings['edge']}"
    services = host.Host(endpoint, settings["token"], started.pid)
    services.start()
    host.listen(services, listener, folder).serve_forever()


def _start(folder: Path, settings: dict[str, Any]) -> "subprocess.Popen[bytes]":
    services = {
        plugins.SERVICES_URL: f"https://{core.HOST}:{settings['port']}",
        plugins.SERVICES_CERTIFICATE: str(folder / "ca.pem"),
        plugins.SERVICES_TOKEN: settings["token"],
    }
    return subprocess.Popen(  # noqa: S603 (the interpreter that LocalStack is installed for)
        [settings["python"], "-m", "localstack.runtime.main"],
        cwd=folder,
        env=core.environment(folder, settings["edge"], services),
        stdin=subprocess.DEVNULL,
    )


def _end_with(started: "subprocess.Popen[bytes]") -> None:
    status = started.wait()
    print(f"LocalStack's core ended by itself, with status {status}.", flush=True)
    lifeline.end_group()


if __name__ == "__main__":
    main()
