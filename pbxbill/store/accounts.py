"""Opens accounts, wallets and endpoints, with the ledger accounts that belong to them."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused, TermRefused, refused_at
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import Unit
from pbxbill.store.billing_models import IssuerRow
from pbxbill.store.catalogue_models import DiallingRuleRow
from pbxbill.store.models import (
    AccountRow,
    CatalogueRow,
    EndpointRow,
    LedgerAccountRow,
    TariffRow,
    UnitRow,
    WalletRow,
)
from pbxbill.store.points_units import refuse_points
from pbxbill.store.thresholds import DEFAULT, defaults_of, take_thresholds
from pbxbill.store.unit_symbols import usual_symbol

ACCOUNT_KINDS = ("reseller", "customer")
ACCOUNT_MODES = ("prepaid", "postpaid", "hybrid")
ENDPOINT_KINDS = ("sip", "ip", "caller_id", "did")
MAX_DEPTH = 8
MAX_CODE_LENGTH, MAX_NAME_LENGTH = 64, 200
MAX_WALLET_ORDER_LENGTH = 200

WHOLE_CATALOGUE, DESTINATIONS = 1, 2
"""Rows of the catalogue: the first grows with every change, the other with those of destinations alone."""


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What an account is opened with; None where the tariff decides."""

    code: str
    name: str
    kind: str = "customer"
    mode: str = "prepaid"
    parent: str | None = None
    """Code of the reseller; None: the operator."""
    tariff: str | None = None
    """Of who bills it, or of the operator."""
    inbound_tariff: str | None = None
    language: str = "en"
    failure_policy: str | None = None
    """None: default_failure_policy() of its mode."""
    offline_allowance: int = 0
    announce_balance: bool | None = None
    announce_minutes: bool | None = None
    announce_warning: bool | None = None
    announce_denial: bool | None = None
    dialling_rule: str | None = None
    """None: that of the account above."""
    wallet_order: tuple[str, ...] = ()
    """Units of the wallets that a charge takes from; empty: the tariff's unit alone."""
    shadow: bool = False


def bump_catalogue(session: Session, *, destinations: bool = False) -> None:
    """Tell every engine that units, tariffs, decks or charts changed, or what else it remembers."""
    for id in (WHOLE_CATALOGUE, DESTINATIONS) if destinations else (WHOLE_CATALOGUE,):
        row = session.get(CatalogueRow, id, with_for_update=True)
        if row is None:
            session.add(CatalogueRow(id=id, version=1))
        else:
            row.version += 1
    session.flush()


def ensure_unit(session: Session, unit: Unit) -> None:
    """Make a unit known; its scale can never change afterwards."""
    row = session.get(UnitRow, unit.code)
    if row is None:
        known = UnitRow(code=unit.code, scale=unit.scale, digits=unit.digits, symbol=usual_symbol(unit.code))
        session.add(known)
        bump_catalogue(session)
    elif (row.scale, row.digits) != (unit.scale, unit.digits):
        raise InputRefused(f"unit {unit.code} exists already with {row.scale} digits")


def unit_of(session: Session, code: str) -> Unit:
    """A known unit; InputRefused if there is none of that code."""
    row = session.get(UnitRow, code)
    if row is None:
        known = ", ".join(session.scalars(select(UnitRow.code).order_by(UnitRow.code)))
        raise InputRefused(f"no unit {code!r}; known are: {known or 'none'}")
    return Unit(row.code, row.scale, row.digits)


def open_operator(session: Session, name: str, now_us: int) -> AccountRow:
    """The root of the account tree; returns the one there is if it was opened before."""
    operator = session.scalar(select(AccountRow).where(AccountRow.kind == "operator"))
    if operator is None:
        _check_name(name)
        operator = AccountRow(
            parent_id=None,
            path="/",
            kind="operator",
            code="operator",
            name=name,
            status="active",
            mode="postpaid",
            language="en",
            failure_policy="closed",
            offline_allowance=0,
            created_us=now_us,
        )
        session.add(operator)
        session.flush()
        bump_catalogue(session)
    return operator


def rename_operator(session: Session, name: str) -> AccountRow:
    """Give the operator another name, which his panel shows."""
    _check_name(name)
    operator = session.scalars(select(AccountRow).where(AccountRow.kind == "operator")).one()
    operator.name = name
    session.flush()
    return operator


def _check_name(name: str) -> None:
    """Documents and mail say it: what cannot be printed would spoil them."""
    if not (name.isprintable() and name.strip() and len(name) <= MAX_NAME_LENGTH):
        raise InputRefused(f"an account's name has 1 to {MAX_NAME_LENGTH} printable characters")


def account_by_code(session: Session, code: str) -> AccountRow:
    """An account; InputRefused if there is none of that code."""
    account = session.scalar(select(AccountRow).where(AccountRow.code == code))
    if account is None:
        raise InputRefused(f"no account {code!r}; `pbxbill accounts list` shows them")
    return account


def issuer_or_operator(session: Session, issuer_id: int | None) -> int:
    """Whose a deck, tariff or bundle is: this issuer's; None: the operator's."""
    if issuer_id is not None:
        return issuer_id
    operator_id = session.scalar(select(AccountRow.id).where(AccountRow.kind == "operator"))
    if operator_id is None:
        raise InputRefused("there is no operator yet; run `pbxbill init` first")
    return operator_id


def tariff_by_name(session: Session, name: str, issuer_id: int | None = None) -> TariffRow:
    """A tariff of an issuer, the operator unless said; InputRefused if he has none of that name."""
    owner_id = issuer_or_operator(session, issuer_id)
    tariff = session.scalar(select(TariffRow).where(TariffRow.issuer_id == owner_id, TariffRow.name == name))
    if tariff is None:
        raise InputRefused(f"no tariff {name!r}; `pbxbill tariffs list` shows them")
    return tariff


def tariff_of_issuer(session: Session, issuer_id: int | None, name: str) -> TariffRow:
    """What an issuer charges by under a name: his own tariff, else the operator's of that name.

    The operator gives the customers of resellers tariffs of his own, too.
    """
    own = select(TariffRow).where(TariffRow.issuer_id == issuer_id, TariffRow.name == name)
    return session.scalar(own) or tariff_by_name(session, name)


def dialling_rule_by_name(session: Session, name: str) -> DiallingRuleRow:
    """A dialling rule; InputRefused if there is none of that name."""
    rule = session.scalar(select(DiallingRuleRow).where(DiallingRuleRow.name == name))
    if rule is None:
        known = ", ".join(session.scalars(select(DiallingRuleRow.name).order_by(DiallingRuleRow.name)))
        raise InputRefused(f"no dialling rule {name!r}; known are: {known or 'none'}")
    return rule


def parse_wallet_order(session: Session, text: str) -> tuple[str, ...]:
    """Units in the order in which a charge takes from their wallets, as a person wrote them: "points,EUR"."""
    codes = tuple(code.strip().upper() for code in text.split(","))
    for code in codes:
        unit_of(session, code)
        refuse_points(session, code)
    if len(set(codes)) < len(codes):
        raise InputRefused(f"wallet order {text[:80]!r} names a unit twice")
    if len(",".join(codes)) > MAX_WALLET_ORDER_LENGTH:
        raise InputRefused(f"a wallet order has up to {MAX_WALLET_ORDER_LENGTH} characters")
    return codes


def set_wallet_order(session: Session, account: AccountRow, codes: tuple[str, ...]) -> None:
    """Say which wallets of an account pay, in their order; none: the one in its tariff's unit alone."""
    owned = set(session.scalars(select(WalletRow.unit).where(WalletRow.account_id == account.id)))
    for code in codes:
        refuse_points(session, code)
        if code not in owned:
            raise InputRefused(
                f"account {account.code} has no {code} wallet; "
                f"`pbxbill accounts wallet {account.code} {code}` opens it"
            )
    account.wallet_order = ",".join(codes) or None
    session.flush()


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise InputRefused(f"{what} {value!r}: use one of {', '.join(allowed)}")
    return value


def default_failure_policy(mode: str) -> str:
    """What happens to the calls of an account that nobody can authorize, unless it is said."""
    return "closed" if mode == "prepaid" else "open"


def open_account(session: Session, new: NewAccount, now_us: int) -> AccountRow:
    """Add an account below the operator or a reseller."""
    if not (new.code.isprintable() and 0 < len(new.code) <= MAX_CODE_LENGTH and " " not in new.code):
        raise TermRefused(
            f"an account code has 1 to {MAX_CODE_LENGTH} printable characters and no space", "code"
        )
    with refused_at("name"):
        _check_name(new.name)
    parent_query = select(AccountRow).where(AccountRow.kind == "operator")
    parent = account_by_code(session, new.parent) if new.parent else session.scalar(parent_query)
    if parent is None:
        raise InputRefused("there is no operator yet; run `pbxbill init` first")
    if parent.kind == "customer":
        raise TermRefused(
            f"account {parent.code} is a customer; only resellers have accounts below them", "parent"
        )
    if parent.path.count("/") > MAX_DEPTH:
        raise InputRefused(f"a reseller chain may be {MAX_DEPTH} levels deep")
    if session.scalar(select(AccountRow.id).where(AccountRow.code == new.code)) is not None:
        raise TermRefused(f"account {new.code!r} exists already", "code")
    mode = _one_of("mode", new.mode, ACCOUNT_MODES)
    policy = new.failure_policy or default_failure_policy(mode)
    account = AccountRow(
        parent_id=parent.id,
        path="",
        kind=_one_of("kind", new.kind, ACCOUNT_KINDS),
        code=new.code,
        name=new.name,
        status="active",
        mode=mode,
        tariff_id=tariff_of_issuer(session, parent.id, new.tariff).id if new.tariff else None,
        inbound_tariff_id=(
            tariff_of_issuer(session, parent.id, new.inbound_tariff).id if new.inbound_tariff else None
        ),
        language=new.language,
        failure_policy=_one_of("failure policy", policy, ("closed", "open")),
        offline_allowance=new.offline_allowance,
        announce_balance=new.announce_balance,
        announce_minutes=new.announce_minutes,
        announce_warning=new.announce_warning,
        announce_denial=new.announce_denial,
        dialling_rule_id=dialling_rule_by_name(session, new.dialling_rule).id if new.dialling_rule else None,
        wallet_order=",".join(new.wallet_order) or None,
        shadow=new.shadow,
        created_us=now_us,
    )
    session.add(account)
    session.flush()
    account.path = f"{parent.path}{account.id}/"
    if account.kind == "reseller":
        _give_zone(session, account, parent)
    session.flush()
    return account


def _give_zone(session: Session, reseller: AccountRow, parent: AccountRow) -> None:
    """His days are those of who is above him, until he says otherwise."""
    above = session.get(IssuerRow, parent.id)
    if above is not None:
        session.add(IssuerRow(account_id=reseller.id, zone=above.zone))


def open_wallet(session: Session, account: AccountRow, unit: str, credit_limit: int = 0) -> WalletRow:
    """Give an account a wallet in a unit, and its issuer the chart of accounts for it."""
    if account.parent_id is None:
        raise InputRefused("the operator has no wallet; wallets belong to resellers and customers")
    if credit_limit < 0:
        raise InputRefused("a credit limit cannot be negative")
    known_unit = unit_of(session, unit)
    exists = select(WalletRow.id).where(WalletRow.account_id == account.id, WalletRow.unit == unit)
    if session.scalar(exists) is not None:
        raise InputRefused(f"account {account.code} has a {unit} wallet already")
    ensure_chart(session, account.parent_id, unit)
    book = LedgerAccountRow(
        issuer_id=account.parent_id, code=LedgerCode.WALLET, unit=unit, holder_id=account.id
    )
    session.add(book)
    session.flush()
    wallet = WalletRow(
        account_id=account.id,
        unit=unit,
        ledger_account_id=book.id,
        posted=0,
        reserved=0,
        credit_limit=credit_limit,
        overdraft=0,
        starved=False,
        news=0,
        told_us=0,
    )
    session.add(wallet)
    session.flush()
    defaults = defaults_of(session, account.parent_id, unit)
    if defaults:
        take_thresholds(session, [wallet], DEFAULT, defaults, known_unit, now_us=0)
    return wallet


def ensure_chart(session: Session, issuer_id: int, unit: str) -> None:
    """Open what an issuer's books in a unit lack."""
    held = select(LedgerAccountRow.code).where(
        LedgerAccountRow.issuer_id == issuer_id,
        LedgerAccountRow.unit == unit,
        LedgerAccountRow.holder_id == 0,
    )
    present = set(session.scalars(held))
    missing = [code for code in LedgerCode if code is not LedgerCode.WALLET and code not in present]
    for code in missing:
        session.add(LedgerAccountRow(issuer_id=issuer_id, code=code, unit=unit, holder_id=0))
    if missing:
        session.flush()
        bump_catalogue(session)


def add_endpoint(
    session: Session, account: AccountRow, kind: str, value: str, tech_prefix: str = ""
) -> EndpointRow:
    """Let a SIP account code, IP, caller ID or DID identify an account."""
    _one_of("endpoint kind", kind, ENDPOINT_KINDS)
    if not value or len(value) > 64 or not value.isprintable():
        raise InputRefused(f"endpoint value {value!r}: use 1 to 64 printable characters")
    if tech_prefix and not (tech_prefix.isascii() and tech_prefix.isdigit() and len(tech_prefix) <= 16):
        raise InputRefused(f"technical prefix {tech_prefix!r}: use up to 16 digits")
    taken = session.scalar(
        select(EndpointRow).where(
            EndpointRow.kind == kind, EndpointRow.value == value, EndpointRow.tech_prefix == tech_prefix
        )
    )
    if taken is not None:
        whose = f"account {account.code}" if taken.account_id == account.id else "another account"
        raise InputRefused(f"{kind} {value!r} identifies {whose} already")
    endpoint = EndpointRow(kind=kind, value=value, tech_prefix=tech_prefix, account_id=account.id)
    session.add(endpoint)
    session.flush()
    return endpoint
