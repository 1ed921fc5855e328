"""A LocalStack core on this machine: where it is installed, and the environment that it runs in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from local.environment import child_environment
from local.localstack import plugins

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
INSTALL = "make setup-localstack"
MISSING = f"LocalStack's core is not installed here. Install it: {INSTALL}"
# Another place for its environment, for who keeps several.
PLACE = "LOCALSTACK_ENVIRONMENT"


def python() -> Path | None:
    """The Python of the environment that LocalStack's core is installed in; None where it is not."""
    place = Path(os.environ.get(PLACE) or ROOT / ".venv" / "localstack")
    found = place / "bin" / "python"
    installed = any(place.glob("lib/python*/site-packages/localstack/runtime/main.py"))
    return found if installed and os.access(found, os.X_OK) else None


def environment(folder: Path, port: int, services: Mapping[str, str]) -> dict[str, str]:
    """A complete environment for the core's process, whose files all go to `folder`; makes the folders that it needs.

    `services` tells the plug-ins where the project's services are. Settings: "Configuration", LocalStack's
    documentation, and `localstack.config` of 4.9.2.
    """
    place = folder / "tmp"
    for name in ("files", "home", "run"):
        (place / name).mkdir(parents=True, exist_ok=True)
    plugins.write_entry_points(place / "plugins")
    inherited = child_environment()
    guard = inherited.pop("PYTHONPATH")
    return {
        **inherited,
        **plugins.settings(),
        **services,
        "CFN_IGNORE_UNSUPPORTED_RESOURCE_TYPES": "0",
        # A resource that is not there after so many seconds fails its stack.
        "CFN_PER_RESOURCE_TIMEOUT": "120",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
        "EAGER_SERVICE_LOADING": "0",
        "FILESYSTEM_ROOT": str(place / "files"),
        "FUNCTIONS_PYTHONPATH": guard,
        "GATEWAY_LISTEN": f"{HOST}:{port}",
        "HOME": str(place / "home"),
        # Addresses that it gives away are to resolve without a name server.
        "LOCALSTACK_HOST": f"{HOST}:{port}",
        "LOCALSTACK_VOLUME_DIR": str(place / "files"),
        "LS_LOG": "warning",
        "OVERRIDE_IN_DOCKER": "0",
        "PYTHONPATH": os.pathsep.join((guard, str(place / "plugins"), str(ROOT))),
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "SQS_ENDPOINT_STRATEGY": "path",
        "TMPDIR": str(place / "run"),
        "TZ": "UTC",
        "XDG_CACHE_HOME": str(place / "home"),
        "XDG_CONFIG_HOME": str(place / "home"),
    }
