"""Files of call records that somebody sent: a run is begun while he waits, and read in the background.

A run whose process ends stays as its last batch left it. The same file sent again charges what was missing:
what was charged is known by its key.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pbxbill.clock import Clock
from pbxbill.errors import InputRefused, TermRefused, refused_at
from pbxbill.ids import new_id
from pbxbill.mediation.importer import Importer
from pbxbill.mediation.mapping import Mapping, built_in_formats, format_text, read_mapping
from pbxbill.mediation.runs import SENT, Checkpoint, Run, new_run
from pbxbill.mediation.sources import Located, located
from pbxbill.store.driver import Driver

MAX_NAME_LENGTH = 200
MAX_SWITCH_LENGTH = 64
_LOOKED_AT = 4_096


class SentSource:
    """One file, that nobody else has."""

    def __init__(self, file: BinaryIO, name: str, mapping: Mapping) -> None:
        self._file, self.name, self._mapping = file, name, mapping
        self.rejected: list[str] = []
        self.waiting = ""

    def size(self) -> int | None:
        """Nobody asks for it."""
        return None

    def lines(self, checkpoint: Checkpoint) -> Iterator[Located]:
        """From the checkpoint on."""
        return located(self._file, self.name, self._mapping, checkpoint)

    def committed(self) -> None:
        """It goes when it is read."""

    def reject(self, file: str, why: str) -> None:  # noqa: ARG002 it is the only one
        """There is nothing else to read."""
        raise InputRefused(why)


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file, and how it is read. Whoever takes it closes it."""

    file: BinaryIO
    """With a descriptor, as files on disk have."""
    name: str
    switch: str
    mapping: Mapping


def checked_file(file: BinaryIO, name: str, switch: str, mapping: Mapping) -> SentFile:
    """A file that can be read; TermRefused names the field that is wrong."""
    name = name.replace("\\", "/").rpartition("/")[2].strip()
    if not name or not name.isprintable() or len(name) > MAX_NAME_LENGTH:
        raise TermRefused("the file's name has 1 to 200 printable characters", "file")
    if not switch.isprintable() or len(switch) > MAX_SWITCH_LENGTH:
        raise TermRefused("the switch's name has up to 64 printable characters", "switch")
    first = file.read(_LOOKED_AT)
    file.seek(0)
    if not first.strip():
        raise TermRefused("the file is empty", "file")
    if b"\0" in first:
        raise TermRefused("the file is no text: unpack it first", "file")
    return SentFile(file, name, switch, mapping)


def begin_sent(session: Session, sent: SentFile, now_us: int) -> Run:
    """Write down that it is read; import_sent() does so, once that is committed."""
    return new_run(session, f"{SENT}{new_id()}/{sent.name}", sent.mapping, sent.switch, now_us)


def import_sent(
    database: Engine, connect: Callable[[], Driver], clock: Clock, sent: SentFile, run: Run
) -> None:
    """Read it and charge its records; the run says what came of it, also where it cannot be read at all."""
    importer = Importer(database, connect, clock, sent.mapping, sent.switch)
    try:
        with sent.file:
            importer.run(SentSource(sent.file, run.source, sent.mapping))
    except InputRefused:
        return  # its row says why
    finally:
        importer.close()


def mapping_of(format_name: str, own: str, zone: str, ambiguous: str) -> Mapping:
    """The built-in format of that name, or one's own; TermRefused names the field that is wrong."""
    if format_name and format_name not in built_in_formats():
        raise TermRefused(
            f"no format {format_name[:80]!r}; known are {', '.join(built_in_formats())}", "format"
        )
    if not format_name and not own.strip():
        raise TermRefused("choose a format, or write your own", "format")
    text = format_text(format_name) if format_name else own
    with refused_at("format" if format_name else "own"):
        mapping = read_mapping(
            text, format_name or "of your own", zone=zone or None, ambiguous=ambiguous or None
        )
    if mapping.needs_zone and not mapping.time.zone:
        raise TermRefused("its times are local and do not say their zone: name it", "zone")
    return mapping
