"""What people may tell a job: run by itself or not, and run now."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.store.notice_models import JobRow


def let_job_run(session: Session, name: str, *, enabled: bool) -> None:
    """Whether a job runs by itself; by hand it always can be run."""
    session.execute(update(JobRow).where(JobRow.name == name).values(enabled=enabled))


def ask_for_job(session: Session, name: str, now_us: int) -> None:
    """Make a job due: the next process that looks runs it, within a second. InputRefused where none would."""
    row = session.scalar(select(JobRow).where(JobRow.name == name).with_for_update())
    if row is None:
        raise InputRefused(f"there is no job {name[:40]!r}")
    if row.holder and row.held_to_us is not None and row.held_to_us > now_us:
        raise InputRefused(f"it runs already, on {row.holder}")
    if not row.enabled:
        raise InputRefused("it is switched off: switch it on first")
    row.next_us = now_us
    session.flush()
