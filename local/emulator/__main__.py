"""The emulator's process: `python -m local.emulator FOLDER`. `local.cloud` starts it; nobody else needs to."""

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn


def main() -> None:
    """Serve until the lifeline breaks or a signal comes. The whole process group ends with this process."""
    folder = Path(sys.argv[1])
    handed_down = folder / "settings.json"
    settings: dict[str, Any] = json.loads(handed_down.read_text())
    # It holds the token, and nobody else needs it.
    handed_down.unlink()
    signal.signal(signal.SIGTERM, lambda *_: _end_group())
    signal.signal(signal.SIGINT, lambda *_: _end_group())
    if not settings["detached"]:
        threading.Thread(target=_watch_lifeline, name="lifeline", daemon=True).start()

    from local.emulator import seams, server

    seams.install()
    asyncio.run(server.serve(folder, settings))


def _watch_lifeline() -> None:
    """Nobody ever writes to standard input: it only ends, and does so when the parent is gone."""
    while os.read(0, 1024):
        pass
    _end_group()


def _end_group() -> NoReturn:
    """Nothing needs to be saved, and a hanging handler must not be waited for."""
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
