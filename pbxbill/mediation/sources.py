"""Where records come from: a file, a growing file, a folder of files, standard input."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import structlog

from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused
from pbxbill.mediation.mapping import Mapping
from pbxbill.mediation.reading import Head, Line, first_line, head_of, lines_of, opened
from pbxbill.mediation.runs import Checkpoint
from pbxbill.mediation.splitting import Splitter, splitter

_log = structlog.get_logger()

DONE, FAILED = "done", "failed"
"""Folders beneath a watched one, that its files are moved to."""
UNFINISHED_NAMES = (".tmp", ".part", ".partial", ".filepart", "~")


class Located(NamedTuple):
    """A line, where it is, and how it is cut."""

    line: Line
    cut: Splitter
    file: str
    head: Head
    first: bool
    """Of the records of its file."""


def located(file: BinaryIO, name: str, mapping: Mapping, checkpoint: Checkpoint) -> Iterator[Located]:
    """The lines of an open file from a checkpoint on, if the file is the one that it speaks of."""
    position, number = 0, 0
    head = head_of(file)
    known = checkpoint.head
    if checkpoint.file == name and known.size and head_of(file, known.size) == known:
        position, number = checkpoint.position, checkpoint.line
    cut, behind = _cutter(file, name, mapping)
    if position < behind:
        position, number = behind, 1
    first = position == behind
    file.seek(position)
    for line in lines_of(file, position, number):
        yield Located(line, cut, name, head, first)
        first = False


def _cutter(file: BinaryIO, name: str, mapping: Mapping) -> tuple[Splitter, int]:
    """How the file's lines are cut, and where the first record begins."""
    if mapping.file.type == "json" or mapping.file.columns:
        return splitter(mapping, None, name), 0
    header, behind = first_line(file)
    return splitter(mapping, header, name), behind


class FileSource:
    """One file. growing: whoever writes it may be in the middle of its last line, which then waits."""

    def __init__(self, path: Path, mapping: Mapping, *, growing: bool = False) -> None:
        self._path = path
        self._mapping = mapping
        self._growing = growing
        self.rejected: list[str] = []
        self.waiting = ""

    @property
    def name(self) -> str:
        """Its absolute path."""
        return str(self._path.absolute())

    def size(self) -> int | None:
        """In bytes."""
        try:
            return self._path.stat().st_size
        except OSError:
            return None

    def lines(self, checkpoint: Checkpoint) -> Iterator[Located]:
        """From the checkpoint on."""
        with opened(self._path) as file:
            for found in located(file, self.name, self._mapping, checkpoint):
                if not (self._growing and found.line.unfinished):
                    yield found

    def committed(self) -> None:
        """It stays where it is."""

    def reject(self, file: str, why: str) -> None:  # noqa: ARG002 it is the only one
        """There is nothing else to read."""
        raise InputRefused(why)


class StreamSource:
    """Standard input, read as it comes. A run of it cannot be gone on with; what comes again is known."""

    name = "-"

    def __init__(self, stream: BinaryIO, mapping: Mapping) -> None:
        self._stream = stream
        self._mapping = mapping
        self.rejected: list[str] = []
        self.waiting = ""

    def size(self) -> int | None:
        """Nobody knows."""
        return None

    def lines(self, checkpoint: Checkpoint) -> Iterator[Located]:  # noqa: ARG002 there is no going back
        """All of it."""
        cut, behind = _cutter(self._stream, "standard input", self._mapping)
        first = True
        for line in lines_of(self._stream, behind, 1 if behind else 0):
            yield Located(line, cut, self.name, Head(0, ""), first)
            first = False

    def committed(self) -> None:
        """Nothing is left of it."""

    def reject(self, file: str, why: str) -> None:  # noqa: ARG002 it is the only one
        """There is nothing else to read."""
        raise InputRefused(why)


class FolderSource:
    """The finished files of a folder, by name; they end up in done/, or in failed/ if they do not fit."""

    def __init__(self, folder: Path, mapping: Mapping, clock: Clock, settle_s: int) -> None:
        self._folder = folder
        self._mapping = mapping
        self._clock = clock
        self._settle_s = settle_s
        self._read: list[Path] = []
        self._refused: dict[str, Path] = {}
        self.rejected: list[str] = []
        self.waiting = ""

    @property
    def name(self) -> str:
        """Its absolute path."""
        return str(self._folder.absolute())

    def size(self) -> int | None:
        """Of all files that are finished."""
        return sum(path.stat().st_size for path in self.finished())

    def finished(self) -> list[Path]:
        """Files that nobody has written to for a while."""
        return self._settled()[0]

    def _settled(self) -> tuple[list[Path], int]:
        """Finished files, and how many there are beside them that may still be written to."""
        latest_us = self._clock.now_us() - self._settle_s * SECOND_US
        found = []
        young = 0
        for entry in self._entries():
            try:
                is_settled = entry.stat(follow_symlinks=False).st_mtime_ns // 1000 <= latest_us
            except FileNotFoundError:
                continue  # whoever wrote it has taken it back
            if _why_not(entry):
                continue
            if is_settled:
                found.append(Path(entry.path))
            else:
                young += 1
        return found, young

    def _entries(self) -> list[os.DirEntry[str]]:
        """What may be read, without folders and what is still being written."""
        try:
            with os.scandir(self._folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise InputRefused(f"{self._folder}: {error.strerror}") from None
        return [
            entry
            for entry in found
            if not entry.name.startswith(".")
            and not entry.name.endswith(UNFINISHED_NAMES)
            and (entry.is_symlink() or not entry.is_dir())
            and entry.name not in (DONE, FAILED)
        ]

    def lines(self, checkpoint: Checkpoint) -> Iterator[Located]:
        """Of one file after the other."""
        for where in (DONE, FAILED):
            if os.path.lexists(self._folder / where):
                os.close(self._target(where))  # said before anything is posted
        for entry in self._entries():
            if why := _why_not(entry):
                _log.warning("mediation_entry_skipped", file=ascii(entry.path), why=why)
                self.rejected.append(f"{ascii(entry.name)[1:-1]} {why}")
        finished, young = self._settled()
        self.waiting = _said_of(young, self._settle_s)
        for path in finished:
            name = str(path.absolute())
            try:
                with opened(path, through_links=False) as file:
                    for found in located(file, name, self._mapping, checkpoint):
                        if name in self._refused:
                            break
                        yield found
            except InputRefused as refused:
                self.reject(name, str(refused))
            if name not in self._refused:
                self._read.append(path)

    def committed(self) -> None:
        """Move what is dealt with, so that it is not read again."""
        for path in self._read:
            if str(path.absolute()) not in self._refused:
                self._move(path, DONE)
        self._read.clear()
        for path in self._refused.values():
            self._move(path, FAILED)
        self._refused.clear()

    def reject(self, file: str, why: str) -> None:
        """Leave a file out; the others are read."""
        _log.error("mediation_file_rejected", file=file, why=why)
        self._refused[file] = Path(file)
        self.rejected.append(why)

    def _target(self, where: str) -> int:
        """A descriptor of a folder beneath this one, which is made if there is none."""
        target = self._folder / where
        with suppress(FileExistsError):
            target.mkdir()
        try:
            # Whoever may write to the folder must not choose by a link where its files end up.
            return os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            raise InputRefused(
                f"{target} is a link or no folder, so that files are not moved there; make it a folder"
            ) from None

    def _move(self, path: Path, where: str) -> None:
        target = self._target(where)
        try:
            name, count = path.name, 1
            while _is_there(name, target):  # an earlier file of that name is not overwritten
                name = f"{path.stem}.{count}{path.suffix}"
                count += 1
            os.rename(path, name, dst_dir_fd=target)
        except FileNotFoundError:
            _log.warning("mediation_file_gone", file=str(path))
        finally:
            os.close(target)


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _why_not(entry: os.DirEntry[str]) -> str:
    """Why an entry of a folder is not read; empty: it is."""
    if entry.is_symlink():
        return "is a link and was not read; put the file itself there"
    if not entry.is_file(follow_symlinks=False):
        return "is a pipe, a device or the like and was not read"
    if not _is_text(entry.name):
        return "has a name that is no UTF-8 and was not read; rename it"
    return ""


def _said_of(young: int, settle_s: int) -> str:
    """Files that are left for the next run."""
    if not young:
        return ""
    files = "1 file is left" if young == 1 else f"{young:,} files are left"
    return (
        f"{files} for the next run: written to less than {settle_s} s ago, so perhaps not finished "
        "(--settle-s 0 does not wait)"
    )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
