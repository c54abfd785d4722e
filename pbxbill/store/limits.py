"""Writes limits, released countries and suspended endpoints; what they mean is decided in charging.limits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.rating.number_plan import UNKNOWN_REGION, is_region
from pbxbill.store.accounts import bump_catalogue, unit_of
from pbxbill.store.catalogue_models import CounterRow, HeldCountryRow, LimitRow
from pbxbill.store.destinations import checked_destinations
from pbxbill.store.driver import Driver, Row
from pbxbill.store.models import AccountRow, EndpointRow

WINDOWS = ("hour", "day", "month")
MAX_CALLS = 100_000
MAX_CALL_RATE = 4000
"""Calls per window: the arrival time of a call, times this, must fit into 63 bits."""
MAX_WINDOW_S = 7 * 86_400
ACTIVE, SUSPENDED = "active", "suspended"

NEEDS = {
    "simultaneous_calls": ("value",),
    "call_rate": ("value",),
    "spend": ("value", "unit", "window"),
    "call_cost": ("value", "unit"),
    "call_length": ("value",),
    "blocked": ("destinations",),
    "allowed": ("destinations",),
    "new_country": (),
    "short_calls": ("value", "window_s", "shorter_s"),
}
"""Kinds of limits, in the words of charging.limits.LimitKind, and what each cannot do without."""
MAY_HAVE = {"call_rate": ("window_s",), "spend": ("zone",), "new_country": ("destinations",)}

LIMIT_COLUMNS = (
    *("id", "account_id", "endpoint_id", "kind", "value", "unit", "window", "window_s", "zone"),
    *("destinations", "suspends", "shorter_s"),
)
"""The fields of charging.limits.Limit, in their order."""
_QUOTED = ", ".join(f'"{name}"' for name in LIMIT_COLUMNS)  # "window" is a word of SQL
_LIMITS = f"SELECT {_QUOTED} FROM limits WHERE account_id {{any_int}} ORDER BY id"  # noqa: S608
_COUNTRIES = "SELECT account_id, region, released FROM held_countries WHERE account_id {any_int}"


@dataclass(frozen=True, slots=True)
class NewLimit:
    """A limit to be set; what its kind does not use stays as it is here."""

    kind: str
    value: int = 0
    """Calls, seconds or an amount in unit."""
    unit: str = ""
    window: str = ""
    window_s: int = 0
    shorter_s: int = 0
    zone: str = ""
    """Empty: UTC."""
    destinations: tuple[str, ...] = ()
    """Names, classes or prefixes; of new_country countries."""
    suspends: bool = False

    def __post_init__(self) -> None:
        needs = NEEDS.get(self.kind)
        if needs is None:
            raise InputRefused(f"no limit of the kind {self.kind[:40]!r}; there are {', '.join(NEEDS)}")
        given = ("value", "unit", "window", "window_s", "shorter_s", "zone", "destinations")
        for name in given:
            value = getattr(self, name)
            if not value and name in needs and name != "value":
                raise InputRefused(f"a {self.kind} limit needs its {_words(name)}")
            if value and name not in needs + MAY_HAVE.get(self.kind, ()):
                raise InputRefused(f"a {self.kind} limit has no {_words(name)}")
        most = {"simultaneous_calls": MAX_CALLS, "short_calls": MAX_CALLS, "call_rate": MAX_CALL_RATE}
        least = 1 if self.kind in {"call_rate", "short_calls", "call_length"} else 0
        if not least <= self.value <= most.get(self.kind, 2**62):
            above = f" to {most[self.kind]}" if self.kind in most else " or more"
            raise InputRefused(f"the value of a {self.kind} limit is {least}{above}")
        if self.window and self.window not in WINDOWS:
            raise InputRefused(f"window {self.window[:40]!r}: use one of {', '.join(WINDOWS)}")
        if not (0 <= self.window_s <= MAX_WINDOW_S and 0 <= self.shorter_s <= 3600):
            raise InputRefused(
                "a window lasts up to seven days, a short call up to an hour, neither less than a second"
            )
        try:
            ZoneInfo(self.zone or "UTC")
        except (ValueError, OSError, LookupError):
            raise InputRefused(f"{self.zone[:40]!r} is no time zone; write e.g. Europe/Berlin") from None


def set_limit(
    session: Session, account: AccountRow, new: NewLimit, endpoint: EndpointRow | None = None
) -> LimitRow:
    """Set a limit of an account or one of its endpoints, in the place of the one it had of this kind.

    Spending limits stand beside each other by unit and window, and go on counting when they are changed.
    """
    if account.parent_id is None:
        raise InputRefused("the operator is not limited; limits belong to resellers and customers")
    if endpoint is not None and endpoint.account_id != account.id:
        raise InputRefused(f"{endpoint.kind} {endpoint.value!r} does not identify account {account.code}")
    if new.unit:
        unit_of(session, new.unit)
    if new.kind == "new_country":
        destinations = "\n".join(dict.fromkeys(checked_region(region) for region in new.destinations))
    else:
        destinations = checked_destinations(session, new.destinations)
    endpoint_id = endpoint.id if endpoint is not None else 0
    zone = new.zone or "UTC"
    row = session.scalar(
        select(LimitRow).where(
            LimitRow.account_id == account.id,
            LimitRow.endpoint_id == endpoint_id,
            LimitRow.kind == new.kind,
            LimitRow.unit == new.unit,
            LimitRow.window == new.window,
        )
    )
    if row is not None and (new.kind == "call_rate" or row.zone != zone):
        # Its counter is kept in what changes here, so it must not be read by the new terms.
        session.delete(row)
        session.flush()
        row = None
    if row is None:
        row = LimitRow(
            account_id=account.id, endpoint_id=endpoint_id, kind=new.kind, unit=new.unit, window=new.window
        )
        if session.get_bind().dialect.name == "sqlite":
            row.id = _unused_id(session)
        session.add(row)
    row.value = new.value
    row.window_s = new.window_s
    row.shorter_s = new.shorter_s
    row.zone = zone
    row.destinations = destinations
    row.suspends = new.suspends
    session.flush()
    bump_catalogue(session)
    return row


def _unused_id(session: Session) -> int:
    """SQLite gives the id of a removed row again; what it counted would count for the new one."""
    limits = session.scalar(select(func.max(LimitRow.id))) or 0
    kinds = ("spend", "rate", "burst")
    counted = session.scalar(select(func.max(CounterRow.ref_id)).where(CounterRow.kind.in_(kinds))) or 0
    return max(limits, counted) + 1


def list_limits(session: Session, account: AccountRow | None = None) -> list[tuple[LimitRow, str, str]]:
    """Limits with their account's code and their endpoint, e.g. "sip 2001"; empty: the whole account."""
    query = (
        select(LimitRow, AccountRow.code, EndpointRow.kind, EndpointRow.value)
        .join(AccountRow, AccountRow.id == LimitRow.account_id)
        .outerjoin(EndpointRow, EndpointRow.id == LimitRow.endpoint_id)
        .order_by(AccountRow.path, LimitRow.endpoint_id, LimitRow.kind, LimitRow.id)
    )
    if account is not None:
        query = query.where(LimitRow.account_id == account.id)
    rows = session.execute(query)
    return [(limit, code, f"{kind} {value}" if kind else "") for limit, code, kind, value in rows]


def remove_limit(session: Session, account: AccountRow, limit_id: int) -> LimitRow:
    """Remove a limit of an account."""
    row = session.get(LimitRow, limit_id)
    if row is None or row.account_id != account.id:
        raise InputRefused(
            f"account {account.code} has no limit {limit_id}; `pbxbill limits list {account.code}` tells"
        )
    session.execute(delete(LimitRow).where(LimitRow.id == limit_id))
    bump_catalogue(session)
    return row


# --- countries --------------------------------------------------------------------------------


def checked_region(region: str) -> str:
    """A country's code as calls are held by it."""
    code = region.upper().removeprefix("+")
    if is_region(code) or code == UNKNOWN_REGION or (code.isascii() and code.isdigit() and len(code) <= 3):
        return code
    raise InputRefused(f"{region[:40]!r} is no country; write its code (FR) or, where many share one, +1")


def release_country(
    session: Session, account: AccountRow, region: str, now_us: int, *, released: bool = True
) -> str:
    """Let an account call a country whose calls are held, or not any more; the country's code."""
    code = checked_region(region)
    limited = select(LimitRow.id).where(LimitRow.account_id == account.id, LimitRow.kind == "new_country")
    if session.scalar(limited.limit(1)) is None:
        raise InputRefused(
            f"account {account.code} has no new_country limit, so that nothing of it is held; where a "
            "reseller above it has one, release the country there"
        )
    row = session.get(HeldCountryRow, (account.id, code))
    if row is None:
        row = HeldCountryRow(account_id=account.id, region=code, first_us=now_us)
        session.add(row)
    row.released = released
    session.flush()
    bump_catalogue(session)
    return code


def list_countries(session: Session, account: AccountRow | None = None) -> list[tuple[HeldCountryRow, str]]:
    """Countries that accounts called or wanted to, with the accounts' codes."""
    query = (
        select(HeldCountryRow, AccountRow.code)
        .join(AccountRow, AccountRow.id == HeldCountryRow.account_id)
        .order_by(AccountRow.path, HeldCountryRow.region)
    )
    if account is not None:
        query = query.where(HeldCountryRow.account_id == account.id)
    return [(row, code) for row, code in session.execute(query)]


# --- endpoints --------------------------------------------------------------------------------


def find_endpoint(session: Session, kind: str, value: str, tech_prefix: str = "") -> EndpointRow:
    """An endpoint; InputRefused if there is none."""
    row = session.scalar(
        select(EndpointRow).where(
            EndpointRow.kind == kind, EndpointRow.value == value, EndpointRow.tech_prefix == tech_prefix
        )
    )
    if row is None:
        shown = f"{kind} {value[:64]!r}" + (f" with technical prefix {tech_prefix}" if tech_prefix else "")
        raise InputRefused(f"no endpoint {shown}; `pbxbill endpoints list` shows them")
    return row


def set_endpoint_status(session: Session, endpoint: EndpointRow, status: str) -> bool:
    """Suspend or resume an endpoint; whether that changed anything."""
    if endpoint.status == status:
        return False
    endpoint.status = status
    session.flush()
    bump_catalogue(session)
    return True


def list_endpoints(session: Session, account: AccountRow | None = None) -> list[tuple[EndpointRow, str]]:
    """Endpoints with their accounts' codes."""
    query = (
        select(EndpointRow, AccountRow.code)
        .join(AccountRow, AccountRow.id == EndpointRow.account_id)
        .order_by(AccountRow.path, EndpointRow.kind, EndpointRow.value, EndpointRow.tech_prefix)
    )
    if account is not None:
        query = query.where(EndpointRow.account_id == account.id)
    return [(row, code) for row, code in session.execute(query)]


# --- for the charging path --------------------------------------------------------------------


def read_limits(driver: Driver, account_ids: Iterable[int]) -> list[Row]:
    """Rows of LIMIT_COLUMNS of these accounts' limits, for charging.limits.limit_of()."""
    return driver.select(_LIMITS, sorted(account_ids))


def read_countries(driver: Driver, account_ids: Iterable[int]) -> dict[int, dict[str, bool]]:
    """Countries by account, and whether each is released."""
    found: dict[int, dict[str, bool]] = {}
    for account_id, region, released in driver.select(_COUNTRIES, sorted(account_ids)):
        found.setdefault(account_id, {})[region] = bool(released)
    return found


def write_held_countries(driver: Driver, held: Sequence[tuple[int, str]], now_us: int) -> None:
    """Record (account, country) pairs whose calls were held, once; their accounts are locked."""
    known = read_countries(driver, {account_id for account_id, _ in held})
    new = [pair for pair in dict.fromkeys(held) if pair[1] not in known.get(pair[0], {})]
    if new:
        table = HeldCountryRow.__table__
        rows = [(account_id, region, False, now_us) for account_id, region in new]
        driver.insert(table, ("account_id", "region", "released", "first_us"), rows)  # type: ignore[arg-type]


def suspend_endpoints(driver: Driver, endpoint_ids: Iterable[int]) -> None:
    """Suspend endpoints within the driver's transaction."""
    rows = [(SUSPENDED, endpoint_id) for endpoint_id in sorted(set(endpoint_ids))]
    if rows:
        driver.update(EndpointRow.__table__, ("id",), ("status",), rows)  # type: ignore[arg-type]


def _words(name: str) -> str:
    return {
        "value": "value",
        "unit": "unit (--unit)",
        "window": "window (--window hour, day or month)",
        "window_s": "window in seconds (--window-s)",
        "shorter_s": "longest short call in seconds (--shorter-s)",
        "zone": "time zone (--zone)",
        "destinations": "destinations (--destination)",
    }[name]
