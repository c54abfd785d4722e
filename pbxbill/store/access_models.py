"""Tables of users, log-ins, API keys, the audit log, and what people write beside accounts.

Registered with store.models' metadata. Secrets stand here as hashes, or sealed with the key of the
installation's key file (access/sealing.py).
"""

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store.models import Base, RowId
from pbxbill.store.sealed import Sealed


class UserRow(Base):
    """A person who logs in, for one account."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    login: Mapped[str] = mapped_column(String(200), unique=True)
    """In lower case; usually the e-mail address."""
    name: Mapped[str] = mapped_column(String(200))
    email: Mapped[str] = mapped_column(String(200), server_default="")
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(200), server_default="")
    """Argon2id; empty: none was chosen yet."""
    state: Mapped[str] = mapped_column(String(8), server_default="active")
    """active or disabled."""
    language: Mapped[str] = mapped_column(String(8), server_default="en")
    zone: Mapped[str] = mapped_column(String(64), server_default="UTC")
    theme: Mapped[str] = mapped_column(String(8), server_default="auto")
    totp: Mapped[str] = mapped_column(String(255), server_default="")
    """The sealed secret; empty: no second factor."""
    totp_step: Mapped[int] = mapped_column(server_default="0")
    """The last step of 30 s whose code was taken: none is taken twice."""
    created_us: Mapped[int]
    last_login_us: Mapped[int | None]


class LoginFailureRow(Base):
    """How often somebody in vain tried to log in: with one log-in, known or not, or from one address.

    Kept for log-ins that nobody has as well: a lock that only known ones get would tell them apart.
    """

    __tablename__ = "login_failures"
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    """login:X, address:X, pair:LOGIN ADDRESS; known:LOGIN ADDRESS: he came from there; once:X: it is used."""
    failures: Mapped[int]
    last_us: Mapped[int] = mapped_column(index=True)
    locked_to_us: Mapped[int]


class RecoveryCodeRow(Base):
    """A code that stands for the second factor once."""

    __tablename__ = "recovery_codes"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    code_hash: Mapped[str] = mapped_column(String(64))
    used_us: Mapped[int | None]


class PasskeyRow(Base):
    """A WebAuthn credential of a user."""

    __tablename__ = "passkeys"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    credential_id: Mapped[bytes] = mapped_column(LargeBinary(1024), unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int]
    created_us: Mapped[int]
    used_us: Mapped[int | None]


class LoginSessionRow(Base):
    """A browser that is logged in. Its cookie holds a token of which this keeps the hash."""

    __tablename__ = "login_sessions"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_us: Mapped[int]
    seen_us: Mapped[int]
    ends_us: Mapped[int] = mapped_column(index=True)
    proven_us: Mapped[int]
    """When the password was last entered: what is grave asks for it again after a while."""
    address: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str] = mapped_column(String(200))


class OneTimeLinkRow(Base):
    """A link that lets its holder choose a password, once."""

    __tablename__ = "one_time_links"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    purpose: Mapped[str] = mapped_column(String(16))
    """first, invitation or reset."""
    created_us: Mapped[int]
    ends_us: Mapped[int] = mapped_column(index=True)
    used_us: Mapped[int | None]


class ApiKeyRow(Base):
    """A program that may call the API, for one account."""

    __tablename__ = "api_keys"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    prefix: Mapped[str] = mapped_column(String(16), unique=True)
    """The part that is shown and by which it is found."""
    secret_hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(Text)
    """Permissions, one per line; never more than the role of who made it has."""
    per_minute: Mapped[int]
    created_us: Mapped[int]
    ends_us: Mapped[int | None]
    revoked_us: Mapped[int | None]
    used_us: Mapped[int | None]
    by: Mapped[str] = mapped_column(String(200))


class IdempotentRequestRow(Base):
    """A write of the API that came with an idempotency key, and what was answered."""

    __tablename__ = "idempotent_requests"
    api_key_id: Mapped[int] = mapped_column(ForeignKey("api_keys.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    """Of method, path and body: the same key with another request is a mistake."""
    status: Mapped[int]
    """0: it is being worked on."""
    body: Mapped[str] = mapped_column(Sealed, server_default="")
    """Some answers tell a secret that is shown but once."""
    at_us: Mapped[int] = mapped_column(index=True)


class AuditRow(Base):
    """A change that somebody made; never changed or removed."""

    __tablename__ = "audit_log"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at_us: Mapped[int]
    actor: Mapped[str] = mapped_column(String(200))
    user_id: Mapped[int | None]
    api_key_id: Mapped[int | None]
    scope_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    """Whom the actor acted for: he sees it, and who is above him."""
    account_id: Mapped[int | None]
    """Whom it was about, where it was about one."""
    action: Mapped[str] = mapped_column(String(64))
    """What was done, e.g. account.change or invoice.issue."""
    subject: Mapped[str] = mapped_column(String(200))
    """To what, as people name it: an account's code, an invoice's number."""
    changes: Mapped[str] = mapped_column(Text)
    """JSON: [{"table", "key", "before": {column: value}, "after": {...}}]; secrets are left out."""
    address: Mapped[str] = mapped_column(String(64), server_default="")
    __table_args__ = (
        Index("ix_audit_log_at_us", "at_us", "id"),
        Index("ix_audit_log_scope_id", "scope_id", "at_us", "id"),
        Index("ix_audit_log_account_id", "account_id", "at_us", "id"),
    )


class AuditObjectRow(Base):
    """An object that an entry of the audit log names: what it changed, and the account that it was about."""

    __tablename__ = "audit_objects"
    object_table: Mapped[str] = mapped_column(String(64), primary_key=True)
    object_key: Mapped[str] = mapped_column(String(128), primary_key=True)
    """Its key's values, with commas between them."""
    at_us: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """The entry's, so that those of one object are read in their order."""
    entry_id: Mapped[int] = mapped_column(ForeignKey("audit_log.id"), primary_key=True, autoincrement=False)


class AccountNoteRow(Base):
    """What an operator or reseller noted about an account; the account does not see it."""

    __tablename__ = "account_notes"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    """Whose note it is: only he reads it."""
    at_us: Mapped[int]
    by: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    __table_args__ = (Index("ix_account_notes_account_id_id", "account_id", "id"),)


class SavedViewRow(Base):
    """A list or report with its filters, kept under a name."""

    __tablename__ = "saved_views"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    page: Mapped[str] = mapped_column(String(64))
    """What it is a view of: list:accounts, report:revenue."""
    name: Mapped[str] = mapped_column(String(64))
    query: Mapped[str] = mapped_column(Text)
    """As in the address, without the question mark."""
    __table_args__ = (UniqueConstraint("user_id", "page", "name"),)


class BrandRow(Base):
    """How the panel and the portal of an operator or a reseller look to those whom he sells to."""

    __tablename__ = "brands"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(80), server_default="")
    """Empty: the account's."""
    host: Mapped[str | None] = mapped_column(String(253), unique=True)
    """By which browsers find it, in lower case, without a port; None: none of its own."""
    colour: Mapped[str] = mapped_column(String(7), server_default="")
    """#rrggbb, dark enough for white text; empty: the usual one."""
    logo: Mapped[bytes | None] = mapped_column(LargeBinary)
    logo_type: Mapped[str] = mapped_column(String(32), server_default="")
    footer: Mapped[str] = mapped_column(String(300), server_default="")
    support_email: Mapped[str] = mapped_column(String(200), server_default="")
    support_phone: Mapped[str] = mapped_column(String(40), server_default="")
    support_url: Mapped[str] = mapped_column(String(300), server_default="")
    version: Mapped[int] = mapped_column(server_default="0")
    """Grows with each change: the addresses of its style and logo change with it."""
