"""Rate sheets that were uploaded: read and compared in the background, shown, then written or dropped.

The sheet is kept in the database, so that any web process can go on with it, until it is written or two
days are over. A worker that was killed leaves a row that nobody beats any more: it counts as refused.
"""

import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from textwrap import shorten
from typing import Any

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import ConfigurationError, InputRefused, PbxbillError
from pbxbill.rating.sheet import RateSheet, write_refused
from pbxbill.rating.sheet_profile import COLUMNS, HeaderRefused, Profile, guessed_columns
from pbxbill.store.catalogue_models import RateImportRow
from pbxbill.store.deck_changes import DeckChanges
from pbxbill.store.deck_import import (
    ImportSetting,
    ImportWanted,
    check_allowed,
    check_currency,
    compare_decks,
    setting_of,
    write_version,
)
from pbxbill.store.engine import transaction
from pbxbill.store.rate_stage import RateStage

READING, READY, WRITING, DONE, REFUSED = "reading", "ready", "writing", "done", "refused"
KEPT_US = 2 * 86_400 * SECOND_US
SILENT_US = 300 * SECOND_US
"""A worker that has not said a word for so long was killed."""
BEAT_US = SECOND_US
FIRST_SHOWN = 20
REFUSED_SHOWN = 20
MAX_REASON_LENGTH = 500
NAME_SHOWN, CELL_SHOWN = 200, 60
"""Characters of a column's name, and of a cell, of a sheet whose header is not understood."""
_PROFILE = ("delimiter", "decimal", "encoding", "date_format", "price_per", "zone")


@dataclass(frozen=True, slots=True)
class Upload:
    """A sheet that somebody sent, and what he wants of it."""

    issuer_id: int
    by: str
    deck: str
    file_name: str
    content: bytes
    options: dict[str, Any]
    """Of ImportWanted and Profile, without what is empty; steep_ppm: rises above it are told."""


def keep_upload(session: Session, upload: Upload, now_us: int) -> RateImportRow:
    """Write it down, to be read; what was given up long ago goes."""
    session.execute(
        delete(RateImportRow).where(
            RateImportRow.created_us < now_us - KEPT_US, RateImportRow.state.not_in((DONE, WRITING))
        )
    )
    if not upload.content:
        raise InputRefused("the file is empty")
    _wanted(upload.deck, upload.file_name, upload.issuer_id, upload.options)
    row = RateImportRow(
        issuer_id=upload.issuer_id,
        by=upload.by[:64],
        deck=upload.deck,
        file_name=upload.file_name[:200],
        content=zlib.compress(upload.content, 1),
        options=json.dumps(upload.options),
        state=READING,
        done=0,
        total=0,
        created_us=now_us,
        beaten_us=now_us,
    )
    session.add(row)
    session.flush()
    return row


def state_of(row: RateImportRow, now_us: int) -> str:
    """Its state; one whose worker was killed is refused."""
    silent = row.state in (READING, WRITING) and row.beaten_us < now_us - SILENT_US
    return REFUSED if silent else row.state


def begin_writing(session: Session, row_id: int, now_us: int) -> None:
    """Agree to what was shown; InputRefused if somebody did so before, or dropped it."""
    row = session.scalars(
        select(RateImportRow)
        .where(RateImportRow.id == row_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    if row.state != READY:
        raise InputRefused("this import is not waiting to be agreed to any more; look what became of it")
    row.state, row.done, row.beaten_us = WRITING, 0, now_us
    session.flush()


def drop_upload(session: Session, row: RateImportRow) -> None:
    """Give it up."""
    if row.state in (WRITING, DONE):
        raise InputRefused("this import is agreed to already; a deck's version cannot be taken back")
    session.delete(row)
    session.flush()


def name_columns(session: Session, row: RateImportRow, columns: dict[str, str], now_us: int) -> None:
    """Say which column of a sheet that was refused is what; it is to be read again then."""
    if state_of(row, now_us) != REFUSED or row.content is None:
        raise InputRefused("this import is not waiting for its columns; look what became of it")
    options = json.loads(row.options) | {"columns": {x: y for x, y in columns.items() if x in COLUMNS and y}}
    _wanted(row.deck, row.file_name, row.issuer_id, options)
    row.options, row.state, row.done, row.beaten_us = json.dumps(options), READING, 0, now_us
    row.preview = row.reason = ""
    row.refused = row.report = None
    session.flush()


def read_upload(database: Engine, row_id: int, clock: Clock) -> None:
    """Read an upload and compare it with its deck: then it is ready, or refused."""
    _work(database, row_id, clock, READING, lambda row: _read(database, row, clock))


def write_upload(database: Engine, row_id: int, clock: Clock) -> None:
    """Write what was agreed to as a version of its deck: then it is done, or refused."""
    _work(database, row_id, clock, WRITING, lambda row: _write(database, row, clock))


def unpacked(content: bytes | None) -> bytes:
    """A file of a row."""
    return b"" if content is None else zlib.decompress(content)


def _work(
    database: Engine,
    row_id: int,
    clock: Clock,
    state: str,
    work: Callable[[RateImportRow], dict[str, Any]],
) -> None:
    with transaction(database) as session:
        row = session.get(RateImportRow, row_id)
        if row is None or row.state != state:
            return
    try:
        found = work(row)
    except PbxbillError as error:
        found = {"state": REFUSED, "reason": _reason(error)}
    except Exception:
        _set(database, row_id, {"state": REFUSED, "reason": "it broke; the log says more"}, clock)
        raise
    _set(database, row_id, found, clock)


def _read(database: Engine, row: RateImportRow, clock: Clock) -> dict[str, Any]:
    steep_ppm = json.loads(row.options).get("steep_ppm")
    with RateStage() as stage:
        report = _Packed()
        changes = DeckChanges(FIRST_SHOWN, report.text, steep_ppm=steep_ppm, whole=False)
        try:
            wanted, setting, sheet = _compared(database, row, clock, stage, changes)
        except InputRefused as refused:
            found = {"state": REFUSED, "reason": _reason(refused)} | _aside(stage, None)
            return found | _header(refused) if isinstance(refused, HeaderRefused) else found
        facts = changes.facts() | {
            "unit": setting.unit,
            "follows": setting.follows,
            "old_number": setting.old_number,
            "later": setting.later,
            "described": sheet.described,
            "columns": sheet.layout.mapped,
            "ignored": sheet.layout.ignored,
            "last_line": sheet.last_line,
            "rates": stage.rate_count,
            "refused": stage.refused_count,
            "refused_first": _refused_first(stage),
        }
        found = {
            "state": READY,
            "preview": json.dumps(facts),
            "total": stage.rate_count,
            "report": report.content(),
        }
        try:
            check_allowed(database, wanted, changes)
        except InputRefused as refused:
            found |= {"state": REFUSED, "reason": _reason(refused)}
        return found | _aside(stage, sheet)


def _reason(error: PbxbillError) -> str:
    """Why, for a page: without what only a command line can do about it, and no word cut."""
    text = error.why if isinstance(error, HeaderRefused) else str(error)
    return text if len(text) <= MAX_REASON_LENGTH else shorten(text, MAX_REASON_LENGTH, placeholder=" ...")


def _header(refused: HeaderRefused) -> dict[str, Any]:
    """What a person needs to say which column is what."""
    if not refused.names:
        return {}
    header = {
        "line": refused.row,
        "names": [x for x in dict.fromkeys(refused.names) if x and len(x) <= NAME_SHOWN],
        "guessed": guessed_columns(refused.names),
        "rows": [[cell[:CELL_SHOWN] for cell in row] for row in refused.first],
    }
    return {"preview": json.dumps({"header": header})}


def _refused_first(stage: RateStage) -> list[dict[str, Any]]:
    return [{"line": x.line, "reason": x.reason} for x in islice(stage.refused(), REFUSED_SHOWN)]


def _aside(stage: RateStage, sheet: RateSheet | None) -> dict[str, Any]:
    if not stage.refused_count:
        return {}
    if sheet is None:  # no usable row at all: the first of them say why
        return {
            "preview": json.dumps({"refused": stage.refused_count, "refused_first": _refused_first(stage)})
        }
    packed = _Packed()
    write_refused(packed.text, sheet, stage.refused())
    return {"refused": packed.content()}


def _write(database: Engine, row: RateImportRow, clock: Clock) -> dict[str, Any]:
    seen = json.loads(row.preview)
    with RateStage() as stage:
        changes = DeckChanges(1)
        wanted, setting, _ = _compared(database, row, clock, stage, changes)
        if setting.follows != seen["follows"]:
            raise InputRefused(
                f"deck {row.deck!r} got another version since the changes were shown; upload the sheet again"
            )
        check_allowed(database, wanted, changes)
        beat = _Beat(database, row.id, clock)
        version = write_version(database, wanted, setting, stage, (clock, beat.add))
        return {"state": DONE, "version_id": version.id, "content": None, "done": version.rate_count}


def _compared(
    database: Engine, row: RateImportRow, clock: Clock, stage: RateStage, changes: DeckChanges
) -> tuple[ImportWanted, ImportSetting, RateSheet]:
    wanted = _wanted(row.deck, row.file_name, row.issuer_id, json.loads(row.options))
    setting = setting_of(database, wanted, clock.now_us())
    sheet = RateSheet(io.BytesIO(unpacked(row.content)), wanted.profile)
    check_currency(sheet, setting)
    beat = _Beat(database, row.id, clock)
    stage.read(sheet, beat.add)
    compare_decks(database, wanted, setting, stage, changes)
    return wanted, setting, sheet


def _wanted(deck: str, file_name: str, issuer_id: int, options: dict[str, Any]) -> ImportWanted:
    said = {key: options[key] for key in _PROFILE if options.get(key)}
    if options.get("increments"):
        said["default_increments"] = tuple(options["increments"])
    if options.get("columns"):
        said["columns"] = {ours: (theirs,) for ours, theirs in options["columns"].items()}
        said["others_by_name"] = True
    rest = {
        key: value
        for key, value in options.items()
        if key not in (*_PROFILE, "increments", "steep_ppm", "columns") and value is not None
    }
    if "ended" in rest:
        rest["ended"] = tuple(rest["ended"])
    try:
        profile = Profile(**said)
    except ConfigurationError as error:
        raise InputRefused(str(error)) from None
    return ImportWanted(deck=deck, source=file_name, issuer_id=issuer_id, profile=profile, **rest)


class _Packed(io.RawIOBase):
    """What is compressed as it is written: a million rows are not held as they are."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj()
        self._pieces: list[bytes] = []
        # With a mark, so that spreadsheets know UTF-8.
        self.text = io.TextIOWrapper(io.BufferedWriter(self), "utf-8-sig", newline="")

    def writable(self) -> bool:
        """As any file that is written."""
        return True

    def write(self, data: Any) -> int:
        """The same."""
        self._pieces.append(self._packer.compress(data))
        return len(data)

    def content(self) -> bytes:
        """All of it, as unpacked() reads it."""
        self.text.flush()
        return b"".join((*self._pieces, self._packer.flush()))


class _Beat:
    """Says now and then how far the work is."""

    def __init__(self, database: Engine, row_id: int, clock: Clock) -> None:
        self._database, self._row_id, self._clock = database, row_id, clock
        self._done, self._next_us = 0, clock.monotonic_us() + BEAT_US

    def add(self, count: int) -> None:
        """So many more rows or rates are done."""
        self._done += count
        if self._clock.monotonic_us() >= self._next_us:
            _set(self._database, self._row_id, {"done": self._done}, self._clock)
            self._next_us = self._clock.monotonic_us() + BEAT_US


def _set(database: Engine, row_id: int, values: dict[str, Any], clock: Clock) -> None:
    changed = update(RateImportRow).where(RateImportRow.id == row_id)
    with transaction(database) as session:
        session.execute(changed.values(beaten_us=clock.now_us(), **values))
