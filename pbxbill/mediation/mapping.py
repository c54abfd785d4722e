"""A mapping says, in TOML, how the records of one kind of file are read; so do the built-in formats."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from pbxbill.errors import InputRefused
from pbxbill.mediation.moments import PLAIN
from pbxbill.mediation.record import Kind
from pbxbill.mediation.written_faults import Written, sentences
from pbxbill.written_toml import TOMLDecodeError, read_toml

FORMATS = Path(__file__).parent / "formats"
MAX_LINE_BYTES = 1 << 20
"""A record that is longer than this is none."""


class FileForm(Written):
    """How a file is cut into records and these into columns."""

    type: Literal["csv", "json"]
    delimiter: str = Field(",", min_length=1, max_length=1, description="one character")
    columns: tuple[str, ...] = ()
    """Of a CSV without a header line."""
    may_lack: int = Field(0, ge=0)
    """How many of the last columns may be missing from a line."""
    encoding: str = "utf-8"
    percent_encoded: bool = False
    """Values hold %20 and the like."""


class TimeForm(Written):
    """How moments are written."""

    form: str = PLAIN
    """A strptime pattern, or iso, epoch_s, epoch_ms, epoch_us."""
    zone: str = ""
    """Of moments that do not say it themselves."""
    ambiguous: Literal["refuse", "earlier", "later"] = "refuse"
    """Which one a local time means that came twice, when clocks were put back."""


class Source(Written):
    """Where a field comes from: the first of its columns that is not empty, or a constant."""

    ALSO: ClassVar = ("column",)
    ALLOWED: ClassVar = 'a column ("a"), several (["a", "b"]) or a table ({ constant = "a" })'

    columns: tuple[str, ...] = ()
    constant: str | None = None
    latest: bool = False
    """Of moments: the latest of all columns; none, if one of them is empty."""
    unit: Literal["us", "ms", "s", "min", "h:mm:ss"] = "s"
    """Of durations."""
    form: str = ""
    """Of a moment, where it differs from [time]."""
    values: dict[str, str] = {}  # noqa: RUF012 pydantic copies it
    """What a column's values stand for; others stay as they are."""

    @model_validator(mode="after")
    def _from_somewhere(self) -> "Source":
        if bool(self.columns) == (self.constant is not None):
            raise ValueError("name a column, or a constant")
        return self


def _source(value: Any) -> Any:
    if isinstance(value, str):
        return {"columns": (value,)}
    if isinstance(value, list):
        return {"columns": value}
    if isinstance(value, dict) and "column" in value:
        return {key: x for key, x in value.items() if key != "column"} | {"columns": (value["column"],)}
    return value


From = Annotated[Source, BeforeValidator(_source)]


class Fields(Written):
    """What a record says, field by field."""

    started: From | None = None
    answered: From | None = None
    ended: From | None = None
    duration: From | None = None
    """From the answer to the end."""
    whole_duration: From | None = None
    """From the start to the end."""
    ringing: From | None = None
    """When it first rang."""
    post_dial_delay: From | None = None
    """From the start to the first ringing."""
    caller: From | None = None
    called: From | None = None
    direction: From | None = None
    call_id: From | None = None
    session_id: From | None = None
    gateway: From | None = None
    hangup_cause: From | None = None
    at: From | None = None
    """Of an event or a reading."""
    quantity: From | None = None
    """Of an event: how many; of a reading: what the meter shows."""
    measure: From | None = None
    """messages, bytes or items."""
    service: From | None = None
    """Whose tariff of the account rates an event; its measure, if left out."""
    meter: From | None = None

    def sources(self) -> dict[str, Source]:
        """The fields that the mapping has."""
        return {name: x for name in Fields.model_fields if (x := getattr(self, name)) is not None}


class Account(Written):
    """Which columns name the account, by kind of endpoint."""

    sip: From | None = None
    ip: From | None = None
    caller_id: From | None = None
    did: From | None = None

    def sources(self) -> dict[str, Source]:
        """The kinds that the mapping has."""
        return {name: x for name in Account.model_fields if (x := getattr(self, name)) is not None}


class Condition(Written):
    """One condition that a record must meet to be read at all."""

    column: str
    equals: str | None = None
    differs: str | None = None
    among: tuple[str, ...] | None = None
    begins: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "Condition":
        if sum(x is not None for x in (self.equals, self.differs, self.among, self.begins)) != 1:
            raise ValueError("give one of equals, differs, among, begins")
        return self

    def met_by(self, value: str) -> bool:
        """Whether a column's value meets it."""
        if self.equals is not None:
            return value == self.equals
        if self.differs is not None:
            return value != self.differs
        if self.among is not None:
            return value in self.among
        return value.startswith(self.begins or "")


MOMENTS = ("started", "ringing", "answered", "ended", "at")
"""Fields that hold one."""
REQUIRED = {
    Kind.CALL: (("called",), ("started", "answered"), ("ended", "duration")),
    Kind.EVENT: (("at",), ("quantity",), ("measure",)),
    Kind.READING: (("at",), ("quantity",), ("meter",)),
}
"""Of each group, one field at least."""


class Mapping(Written):
    """A whole mapping."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$",
        description="up to 40 small letters, digits, dots, lines and underlines in quotes, like acme",
    )
    """Part of each record's fingerprint: files of the same origin share it."""
    kind: Kind = Kind.CALL
    file: FileForm
    time: TimeForm = TimeForm()
    fields: Fields
    account: Account = Account()
    filter: tuple[Condition, ...] = ()
    answered_if: tuple[Condition, ...] = ()
    """Conditions without which a call was not answered, whatever its times say."""
    fingerprint: tuple[str, ...] = Field(min_length=1, description='columns, at least one, like ["ref"]')
    """Columns that together tell one record from all others."""

    @model_validator(mode="after")
    def _complete(self) -> "Mapping":
        present = self.fields.sources()
        for group in REQUIRED[self.kind]:
            if not present.keys() & set(group):
                raise ValueError(f"[fields] needs {' or '.join(group)} for a {self.kind}")
        if self.kind is not Kind.READING and not self.account.sources():
            raise ValueError("[account] must name the account by sip, ip, caller_id or did")
        if self.time.zone:
            _zone(self.time.zone)
        try:
            "".encode(self.file.encoding)
        except LookupError:
            raise ValueError(f"[file] encoding {self.file.encoding!r} is unknown") from None
        return self

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone of local times."""
        return _zone(self.time.zone) if self.time.zone else None

    @property
    def needs_zone(self) -> bool:
        """Whether it reads moments that do not say their zone."""
        moments = (getattr(self.fields, name) for name in MOMENTS)
        forms = {x.form or self.time.form for x in moments if x is not None}
        return any(form != "iso" and not form.startswith("epoch_") and "%z" not in form for form in forms)

    def columns(self) -> dict[str, str]:
        """Every column it reads, and what for."""
        used: dict[str, str] = {}
        for name, source in (*self.fields.sources().items(), *self.account.sources().items()):
            for column in source.columns:
                used.setdefault(column, name)
        for condition in (*self.filter, *self.answered_if):
            used.setdefault(condition.column, "a condition")
        for column in self.fingerprint:
            used.setdefault(column, "the fingerprint")
        return used


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name[:40]!r}; write it like Europe/Berlin") from None


def load_mapping(name: str, *, zone: str | None = None, ambiguous: str | None = None) -> Mapping:
    """A built-in format by its name, or a TOML file by its path; InputRefused says what is wrong with it."""
    path = FORMATS / f"{name}.toml" if name in built_in_formats() else Path(name)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise InputRefused(f"no format {name[:80]!r}; known are {', '.join(built_in_formats())}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputRefused(f"mapping {path}: cannot be read: {error}") from None
    mapping = read_mapping(text, str(path), zone=zone, ambiguous=ambiguous)
    if mapping.needs_zone and not mapping.time.zone:
        raise InputRefused(
            f"{name}: its times are local and do not say their zone; name it with --zone, "
            "for example --zone Europe/Berlin, or --zone UTC"
        )
    return mapping


def read_mapping(text: str, where: str, *, zone: str | None = None, ambiguous: str | None = None) -> Mapping:
    """A mapping as it is written; where: what a refusal calls it. A missing zone is not looked at."""
    try:
        content = read_toml(text)
    except TOMLDecodeError as error:
        raise InputRefused(f"mapping {where}: is no TOML: {error}") from None
    overrides = {key: value for key, value in (("zone", zone), ("ambiguous", ambiguous)) if value is not None}
    time = content.get("time", {})
    if overrides and isinstance(time, dict):
        content["time"] = time | overrides
    return _validated(content, where)


def stored_mapping(text: str) -> Mapping:
    """The mapping that a run was read by, from the JSON it was kept as."""
    return Mapping.model_validate_json(text)


def _validated(content: dict[str, Any], where: str) -> Mapping:
    try:
        return Mapping.model_validate(content)
    except ValidationError as error:
        lines = [f"mapping {where}: {sentence}" for sentence in sentences(error, Mapping)]
        raise InputRefused("\n".join(lines)) from None


def format_text(name: str) -> str:
    """A built-in format as it is written, to begin one of your own with."""
    return (FORMATS / f"{name}.toml").read_text("utf-8")


def built_in_formats() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in FORMATS.glob("*.toml"))
