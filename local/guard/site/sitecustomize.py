"""Python imports this at start when its folder is on PYTHONPATH, and so guards a child that knows of no guard."""

import importlib.util
import pathlib
import sys

_SOURCE = pathlib.Path(__file__).resolve().parent.parent / "__init__.py"
_spec = importlib.util.spec_from_file_location("_loopback_guard", _SOURCE)
if _spec is None or _spec.loader is None:
    raise ImportError(f"The network guard is missing: {_SOURCE}")
_guard = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _guard
_spec.loader.exec_module(_guard)
_guard.install()
