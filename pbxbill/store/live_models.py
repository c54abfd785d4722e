"""The table of hang-ups that somebody asked for. Registered with store.models' metadata."""

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store.models import Base, RowId

_IS_ASKED = text("state = 'asked'")


class HangUpRow(Base):
    """Somebody wants a live call to end; see store.hang_ups."""

    __tablename__ = "hang_ups"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    session_id: Mapped[str] = mapped_column(String(32), index=True)
    switch: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    """Whose call it is."""
    by: Mapped[str] = mapped_column(String(200))
    """As the audit log names people and programs."""
    reason: Mapped[str] = mapped_column(String(12))
    """For whom: operator, reseller or account. The call's record tells it."""
    note: Mapped[str] = mapped_column(String(200), server_default="")
    """Why, in the words of whoever asked; not for the account's eyes."""
    asked_us: Mapped[int]
    ends_us: Mapped[int]
    """After that nobody carries it out."""
    state: Mapped[str] = mapped_column(String(8), server_default="asked")
    """asked, done, gone, failed or expired."""
    answered_us: Mapped[int | None]
    detail: Mapped[str] = mapped_column(String(200), server_default="")
    """Why it failed."""
    __table_args__ = (
        # Asking twice is asking once, and what daemons poll stays small.
        Index(
            "ix_hang_ups_asked", "session_id", unique=True, sqlite_where=_IS_ASKED, postgresql_where=_IS_ASKED
        ),
    )
