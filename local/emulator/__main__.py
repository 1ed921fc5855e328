"""The emulator's process: `python -m local.emulator FOLDER`. `local.cloud` starts it; nobody else needs to."""

import asyncio
import sys
from pathlib import Path

from local import lifeline


def main() -> None:
    """Serve until the lifeline breaks or a signal comes. The whole process group ends with this process."""
    folder = Path(sys.argv[1])
    settings = lifeline.settings_of(folder)
    lifeline.hold(detached=settings["detached"])

    from local.emulator import seams, server

    seams.install()
    asyncio.run(server.serve(folder, settings))


if __name__ == "__main__":
    main()
