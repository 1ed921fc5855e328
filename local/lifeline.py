"""The process of a cloud: what it is handed down, and that it ends with whoever started it.

`local.cloud` starts such a process as the first of a group, with a pipe for standard input.
"""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any, NoReturn


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings that were handed down, which are gone then: they hold the token, and nobody else needs it."""
    handed_down = folder / "settings.json"
    settings: dict[str, Any] = json.loads(handed_down.read_text())
    handed_down.unlink()
    return settings


def hold(*, detached: bool) -> None:
    """Ends the whole process group on a signal, and when the parent is gone, unless it is to outlive that."""
    signal.signal(signal.SIGTERM, lambda *_: end_group())
    signal.signal(signal.SIGINT, lambda *_: end_group())
    if not detached:
        threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def _watch() -> None:
    """Nobody ever writes to standard input: it only ends, and does so when the parent is gone."""
    while os.read(0, 1024):
        pass
    end_group()


def end_group() -> NoReturn:
    """Nothing needs to be saved, and a hanging handler must not be waited for."""
    os.killpg(0, signal.SIGKILL)
    os._exit(1)
