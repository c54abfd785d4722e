"""Other processes of a test: started, told to go, heard, and ended with it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
Process = subprocess.Popen[str]


@contextmanager
def started(module: str, *words: object) -> Iterator[Process]:
    """A module of this folder as a process; killed at the end, if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.store.{module}", *map(str, words)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: Process) -> str:
    """The next line that it says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: Process) -> None:
    """Let a process begin that waits for a line."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
