"""Reads the lines of a file, or of standard input, in bounded memory, each with where it ends.

Of a line that is longer than any record only the beginning is kept. A last line without an end may be cut:
the run decides what becomes of it.
"""

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pbxbill.errors import InputRefused
from pbxbill.mediation.mapping import MAX_LINE_BYTES
from pbxbill.mediation.record import RAW_KEPT

CHUNK_BYTES = 1 << 20
HEAD_BYTES = 4096
STANDARD_INPUT = "-"


class Line(NamedTuple):
    """One line without its end."""

    raw: bytes
    number: int
    end: int
    """The offset behind it."""
    too_long: bool = False
    unfinished: bool = False
    """The file ends before the line does."""


@contextmanager
def opened(path: Path, *, through_links: bool = True) -> Iterator[BinaryIO]:
    """A file that no other process of ours is importing; InputRefused says why it cannot be read."""
    # Opening a pipe would wait for somebody to write to it.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if through_links else os.O_NOFOLLOW)
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise InputRefused(f"{path}: {error.strerror}; nothing was read") from None
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InputRefused(
                f"{path} is a pipe, a device or the like; nothing was read. "
                "Give it through standard input: `pbxbill mediate - < FILE`"
            )
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputRefused(f"{path}: another process is importing it; nothing was read") from None
        yield file


def lines_of(file: BinaryIO, end: int, number: int) -> Iterator[Line]:
    """The lines from an offset on, which is where line number of them ended; empty ones are none."""
    rest = b""
    while chunk := file.read(CHUNK_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        while True:
            for raw in whole:
                number += 1
                end += len(raw) + 1
                too_long = len(raw) > MAX_LINE_BYTES
                if raw and not raw.isspace():
                    yield Line(raw[:RAW_KEPT] if too_long else raw, number, end, too_long)
            if len(rest) <= MAX_LINE_BYTES:
                break
            # Its beginning is enough to show; the rest is counted and forgotten.
            kept = rest[:RAW_KEPT]
            has_end, behind, end = _behind(file, end + len(rest))
            number += 1
            yield Line(kept, number, end, too_long=True, unfinished=not has_end)
            *whole, rest = behind.split(b"\n")
    if rest and not rest.isspace():
        yield Line(rest, number + 1, end + len(rest), unfinished=True)


def _behind(file: BinaryIO, end: int) -> tuple[bool, bytes, int]:
    """Skip to the end of a line: whether it has one, what was read behind it, and the offset behind it."""
    while chunk := file.read(CHUNK_BYTES):
        position = chunk.find(b"\n")
        if position >= 0:
            return True, chunk[position + 1 :], end + position + 1
        end += len(chunk)
    return False, b"", end


def first_line(file: BinaryIO) -> tuple[bytes | None, int]:
    """A header line and the offset behind it; None: the file is empty."""
    raw = file.readline(MAX_LINE_BYTES)
    return (raw or None), len(raw)


class Head(NamedTuple):
    """The beginning of a file, by which it is known again."""

    size: int
    digest: str


def head_of(file: BinaryIO, size: int = HEAD_BYTES) -> Head:
    """The head of an open file, whose position does not change."""
    data = os.pread(file.fileno(), min(size, HEAD_BYTES), 0)
    return Head(len(data), hashlib.sha256(data).hexdigest())
