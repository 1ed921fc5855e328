"""Makes the project's environment, with the installer in it: `python3 -m local.virtualenv .venv`. `make` calls it.

It runs on a bare Python, so it imports the standard library alone. Two that set up at once take turns: the second
finds the work done.
"""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INSTALLER = ROOT / "requirements" / "bootstrap.txt"
STAMP = ".python"


def make(folder: Path) -> None:
    """Makes the environment anew, unless another process has just done so.

    Raises OSError where the disk refuses, CalledProcessError where the installation fails.
    """
    stamp = folder / STAMP
    with _turn():
        if stamp.exists() and stamp.stat().st_mtime >= INSTALLER.stat().st_mtime:
            return
        version = ".".join(map(str, sys.version_info[:3]))
        print(f"Setting up {folder} with Python {version} ...", flush=True)
        if folder.exists():
            shutil.rmtree(folder)
        venv.create(folder, symlinks=True)
        python = [str(folder / "bin" / "python"), "-m"]
        # Not left to `venv`, which keeps for itself what went wrong. Its words are for failures alone.
        subprocess.run([*python, "ensurepip", "--upgrade", "--default-pip"], capture_output=True, check=True)  # noqa: S603 (the Python that was just made)
        install = ["install", "--quiet", "--no-user", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*python, "pip", *install, "-r", str(INSTALLER)], check=True)  # noqa: S603 (the same)
        stamp.touch()


@contextmanager
def _turn() -> Iterator[None]:
    """One process of this project at a time. The system takes the lock back from one that is killed."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another process is setting up: waiting for it ...", flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError:
            # A file system without locks: then nobody waits.
            pass
        yield
    finally:
        os.close(folder)


def main(arguments: list[str]) -> int:
    """Exit code 0, 1 with a line where it failed, 130 when it was interrupted."""
    try:
        make(Path(arguments[0]))
    except KeyboardInterrupt:
        # make says so too.
        return 130
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip().splitlines() or ["see above"]
        # What Python says last of a full disk is that a command of its own failed.
        full = [os.strerror(errno.ENOSPC) for line in said if os.strerror(errno.ENOSPC) in line]
        print(f"The environment cannot be set up: {error.cmd[2]}: {(full or said)[-1][:200]}", file=sys.stderr)
        return 1
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        print(f"The environment cannot be set up: {error.strerror or error}{place}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
