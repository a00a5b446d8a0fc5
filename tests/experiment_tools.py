"""Run and import the commands of experiments/tools."""

import contextlib
import importlib
import os
import subprocess
import sys

from conftest import ROOT

TOOLS = ROOT / "experiments/tools"


def run_tool(name, *arguments, check=True):
    """Runs a tool in a process of its own; returns what subprocess.run returns, output as text."""
    done = subprocess.run(
        [sys.executable, TOOLS / name, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 or not check, done.stderr
    return done


@contextlib.contextmanager
def importing():
    """Yields a function that imports a module of experiments/tools by name."""
    sys.path.insert(0, str(TOOLS))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(TOOLS))
