"""The audit log: who changed what, and how it was before.

What changes in rows is seen as the session writes it; no use case has to tell. Money that moves is in the
journal, which is never changed: here stands who moved it.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor
from pbxbill.store.access_models import AuditRow

MAX_VALUE_LENGTH = 500
MAX_ROWS = 100
"""Of one change; how many more there were is noted."""
SECRET = ("password", "secret", "hash", "totp", "token", "pin", "credential", "public_key")
"""Columns with one of these in their names are noted as changed, without their values."""


@contextmanager
def audited(
    session: Session,
    actor: Actor,
    action: str,
    subject: str,
    *,
    now_us: int,
    account_id: int | None = None,
) -> Iterator[None]:
    """Note all that rows of the session change until the end, in the same transaction."""
    changes: list[dict[str, Any]] = []

    def collect(_session: Session, _context: Any, _instances: Any) -> None:
        changes.extend(_change(row, "new") for row in session.new)
        changes.extend(_change(row, "deleted") for row in session.deleted)
        changes.extend(_change(row, "changed") for row in session.dirty if session.is_modified(row))

    event.listen(session, "before_flush", collect)
    try:
        yield
        session.flush()
    finally:
        event.remove(session, "before_flush", collect)
    more = len(changes) - MAX_ROWS
    shown: list[dict[str, Any]] = changes[:MAX_ROWS] + ([{"more": more}] if more > 0 else [])
    session.add(
        AuditRow(
            at_us=now_us,
            actor=actor.name,
            user_id=actor.user_id,
            api_key_id=actor.api_key_id,
            scope_id=actor.scope.account_id,
            account_id=account_id,
            action=action,
            subject=subject[:200],
            changes=json.dumps(shown, ensure_ascii=False),
            address=actor.address[:64],
        )
    )
    session.flush()


def _change(row: Any, how: str) -> dict[str, Any]:
    state = inspect(row)
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for attribute in state.mapper.column_attrs:
        history = state.attrs[attribute.key].history
        if how == "deleted":
            before[attribute.key] = _shown(attribute.key, state.attrs[attribute.key].loaded_value)
        elif history.has_changes():
            if how == "changed":
                before[attribute.key] = _shown(attribute.key, history.deleted[0] if history.deleted else None)
            after[attribute.key] = _shown(attribute.key, history.added[0] if history.added else None)
    key = list(state.identity) if state.identity else None
    return {"table": state.mapper.local_table.name, "key": key, "before": before, "after": after}


def _shown(name: str, value: Any) -> Any:
    if value in (None, ""):
        return value
    if any(x in name for x in SECRET):
        return "***"
    if isinstance(value, bool | int):
        return value
    text = "bytes" if isinstance(value, bytes) else str(value)
    return text if len(text) <= MAX_VALUE_LENGTH else text[:MAX_VALUE_LENGTH] + "…"
