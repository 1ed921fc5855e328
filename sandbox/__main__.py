"""`python -m sandbox`: the commands of `sandbox/cli.py`. The shell's AWS settings are used as they are."""

import sys

from sandbox.cli import main

if __name__ == "__main__":
    sys.exit(main())
