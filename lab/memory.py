"""Folders in memory, for databases that nobody will miss: a disk would write them to remove them.

Memory that a killed run left behind is not freed by itself, so a folder names its process, and the
next run removes those whose process is gone.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 2 << 30  # four processes of a test run, each with a server


def fleeting_directory(memory: Path = MEMORY) -> Path:
    """A new folder in memory where there is room, else among temporary files; who asked removes it."""
    prefix = f"pbxbill-{os.getpid()}-"
    if not (memory.is_dir() and os.access(memory, os.W_OK | os.X_OK)):
        return Path(tempfile.mkdtemp(prefix=prefix))
    for folder in memory.glob("pbxbill-*-*"):
        owner = re.match(r"pbxbill-(\d+)-", folder.name)
        if owner is not None and not Path("/proc", owner[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)
    has_room = shutil.disk_usage(memory).free >= NEEDED_BYTES
    return Path(tempfile.mkdtemp(prefix=prefix, dir=memory if has_room else None))
