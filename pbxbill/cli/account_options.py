"""What people write in options of `pbxbill accounts`: days, units, limits."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.account_terms import unit_of_tariff
from pbxbill.billing.parties import issuer_of
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli.output import local_moment
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import NewAccount, tariff_of_issuer, unit_of
from pbxbill.store.models import AccountRow, UnitRow


def opened_us(session: Session, new: NewAccount, opened: str, now_us: int) -> int:
    """The first moment of an account; its periods are billed from the day of that on."""
    at_us = local_moment(opened, issuer_of(session, issuer_by_code(session, new.parent).id).zone)
    if at_us > now_us:
        raise InputRefused(f"{opened} is to come; an account is opened now, or was")
    return at_us


def wanted_unit(session: Session, code: str | None, tariff: str | None, parent: str | None = None) -> Unit:
    """The unit of an account's wallet: what was said, the tariff's, or the only one there is."""
    if code is None and tariff is not None:
        issuer_id = issuer_by_code(session, parent).id
        code = unit_of_tariff(session, tariff_of_issuer(session, issuer_id, tariff).id)
    if code is not None:
        return unit_of(session, code.upper())
    codes = session.scalars(select(UnitRow.code).order_by(UnitRow.code)).all()
    if len(codes) != 1:
        raise InputRefused(f"choose a --unit: {', '.join(codes) or 'there is none yet; run `pbxbill init`'}")
    return unit_of(session, codes[0])


def credit_limit_of(text: str, unit: Unit) -> int:
    """How far below zero a wallet may go."""
    amount = parse_amount(text, unit)
    if amount < 0:
        raise InputRefused(
            f"{text} is negative; a credit limit says how far below zero the wallet may go: write "
            f"{format_amount(-amount, unit)} to let it, or 0"
        )
    return amount


def allowance_of(text: str, unit: Unit) -> int:
    """The most that unauthorized calls may cost."""
    amount = parse_amount(text, unit)
    if amount < 0:
        raise InputRefused(
            f"{text} is negative; an offline allowance is the most that unauthorized calls may cost: "
            "write 0 or more"
        )
    return amount


def paying_unit(session: Session, account: AccountRow) -> Unit:
    """What an account's calls are charged in."""
    code = unit_of_tariff(session, account.tariff_id)
    if code is None:
        raise InputRefused(f"account {account.code} has no tariff yet, which says what its calls are paid in")
    return unit_of(session, code)


def minimum_balance_of(session: Session, account: AccountRow, text: str) -> int | None:
    """With less to spend than this no call to the outside begins; "none": no such floor."""
    if text == "none":
        return None
    unit = paying_unit(session, account)
    amount = parse_amount(text, unit)
    if amount < 0:
        raise InputRefused(
            f"{text} is negative; a minimum balance is what must be there to spend, credit limit included: "
            'write 0 or more, or "none"'
        )
    return amount
