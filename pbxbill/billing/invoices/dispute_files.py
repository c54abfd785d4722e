"""What people send with a dispute: kept as it came, few, small, and of kinds that can be looked at safely."""

from hashlib import sha256
from pathlib import PurePosixPath
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import happened, locked_standing, named
from pbxbill.errors import InputRefused
from pbxbill.store.dunning_models import DisputeFileRow

MAX_FILES, MAX_BYTES, MAX_NAME_LENGTH = 10, 5_000_000, 120
"""Of one invoice; of one file."""
KINDS = {
    ".pdf": ("application/pdf", (b"%PDF-",)),
    ".png": ("image/png", (b"\x89PNG\r\n\x1a\n",)),
    ".jpg": ("image/jpeg", (b"\xff\xd8\xff",)),
    ".jpeg": ("image/jpeg", (b"\xff\xd8\xff",)),
    ".txt": ("text/plain", ()),
    ".csv": ("text/csv", ()),
    ".eml": ("message/rfc822", ()),
}
"""By the end of the name: what it is, and how such a file begins; without any it is text."""


class DisputeFile(NamedTuple):
    """A file of a dispute, without its content."""

    id: int
    name: str
    media_type: str
    bytes: int
    sha256: str
    at_us: int
    by: str


def attach(
    session: Session, invoice_id: int, name: str, content: bytes, *, now_us: int, by: str = ""
) -> DisputeFile:
    """Keep a file with the dispute of an invoice; the same file again is kept once."""
    row = locked_standing(session, invoice_id)
    if row.disputed_us is None:
        raise InputRefused(f"{named(row)} is not disputed; begin with `pbxbill invoices dispute`")
    name, media_type = checked_file(name, content)
    digest = sha256(content).hexdigest()
    known = session.scalar(
        select(DisputeFileRow).where(DisputeFileRow.invoice_id == invoice_id, DisputeFileRow.sha256 == digest)
    )
    if known is not None:
        return _shown(known, len(known.content))
    count = session.scalar(
        select(func.count()).select_from(DisputeFileRow).where(DisputeFileRow.invoice_id == invoice_id)
    )
    if (count or 0) >= MAX_FILES:
        raise InputRefused(f"{named(row)} has {MAX_FILES} files, and may not have more")
    file = DisputeFileRow(
        invoice_id=invoice_id,
        name=name,
        media_type=media_type,
        sha256=digest,
        content=content,
        at_us=now_us,
        by=by[:64],
    )
    session.add(file)
    happened(session, invoice_id, "dispute_file", f"{name}, {len(content)} bytes", at_us=now_us, by=by)
    session.flush()
    return _shown(file, len(content))


def checked_file(name: str, content: bytes) -> tuple[str, str]:
    """Its name without folders, and its type; InputRefused where it is none that is kept."""
    name = _name(name)
    return name, _media_type(name, content)


def files_of(session: Session, invoice_id: int) -> list[DisputeFile]:
    """The files of an invoice's disputes, the oldest first."""
    columns = (
        DisputeFileRow.id,
        DisputeFileRow.name,
        DisputeFileRow.media_type,
        func.length(DisputeFileRow.content),
        DisputeFileRow.sha256,
        DisputeFileRow.at_us,
        DisputeFileRow.by,
    )
    query = select(*columns).where(DisputeFileRow.invoice_id == invoice_id).order_by(DisputeFileRow.id)
    return [DisputeFile(*row) for row in session.execute(query)]


def content_of(session: Session, invoice_id: int, file_id: int) -> tuple[DisputeFile, bytes]:
    """A file with its content; InputRefused if that invoice has none of that number."""
    row = session.get(DisputeFileRow, file_id)
    if row is None or row.invoice_id != invoice_id:
        raise InputRefused(f"the invoice has no file {file_id}")
    return _shown(row, len(row.content)), row.content


def _name(name: str) -> str:
    """Without folders: it is the name of a file and nothing else."""
    name = PurePosixPath(name.replace("\\", "/")).name
    if not (name.isprintable() and 0 < len(name) <= MAX_NAME_LENGTH and not name.startswith(".")):
        raise InputRefused(f"a file's name has 1 to {MAX_NAME_LENGTH} printable characters")
    return name


def _media_type(name: str, content: bytes) -> str:
    found = KINDS.get(PurePosixPath(name).suffix.lower())
    if found is None:
        raise InputRefused(f"{name}: a file is one of {', '.join(sorted(KINDS))}")
    if not 0 < len(content) <= MAX_BYTES:
        raise InputRefused(f"{name}: a file has 1 to {MAX_BYTES:,} bytes, not {len(content):,}")
    media_type, beginnings = found
    if beginnings and not content.startswith(beginnings):
        raise InputRefused(f"{name}: this is no {media_type}, whatever its name says")
    if not beginnings and b"\0" in content:
        raise InputRefused(f"{name}: this is no text")
    return media_type


def _shown(row: DisputeFileRow, size: int) -> DisputeFile:
    return DisputeFile(row.id, row.name, row.media_type, size, row.sha256, row.at_us, row.by)
