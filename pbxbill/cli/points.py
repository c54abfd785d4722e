"""points: rules by which they are earned, what accounts have, spending and giving, who brought whom."""

from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.app import billing
from pbxbill.billing.points.points import Spending, give_by_hand, holdings, spend
from pbxbill.billing.points.points_rules import KINDS, REFERRAL, NewRule, add_rule, end_rule
from pbxbill.billing.points.referrals import refer
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import PointsLotRow, PointsRuleRow, ReferralRow


@click.group()
def points() -> None:
    """Loyalty points: earned by top-ups, usage and referrals, spent into funds."""


@points.group()
def rules() -> None:
    """How customers of an issuer earn points, and what they are worth."""


@rules.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--points-unit", required=True, help="A unit of whole pieces, kept for points.")
@click.option("--unit", "unit_code", required=True, help="Currency that earns them, and that they turn into.")
@click.option(
    "--per", required=True, help="For each such amount; of a referral: from such a first top-up on."
)
@click.option("--points", "count", type=int, required=True, help="How many.")
@click.option("--valid-days", type=int, help="Then they expire; default: never.")
@click.option("--worth", default="0", help="Of one when it is spent, in the currency; default: nothing.")
@click.option("--issuer", help="Code of the reseller whose customers earn; default: the operator.")
@json_option
@pass_context
def add(context: Context, /, kind: str, *, as_json: bool, **named: Any) -> None:
    """Let customers earn points from now on: for each top_up, for usage, for a referral."""
    with context.application() as application, transaction(application.database) as session:
        unit = unit_of(session, named["unit_code"].upper())
        new = NewRule(
            kind=kind,
            points_unit=named["points_unit"].upper(),
            unit=unit.code,
            per=parse_amount(named["per"], unit),
            points=named["count"],
            valid_days=named["valid_days"],
            worth=parse_amount(named["worth"], unit),
        )
        row = add_rule(session, _issuer(session, named["issuer"]), new, context.clock.now_us())
        facts = _rule(session, row)
    if as_json:
        print_json(facts)
        return
    click.echo(f"rule {facts['id']}: {_said(facts)}")


@rules.command("list")
@json_option
@pass_context
def list_rules(context: Context, as_json: bool) -> None:
    """List rules, those that have ended too."""
    with context.application() as application, transaction(reading(application.database)) as session:
        rows = session.scalars(select(PointsRuleRow).order_by(PointsRuleRow.id)).all()
        listed = [_rule(session, row) for row in rows]
    if as_json:
        print_json(listed)
        return
    titles = (">Id", "Issuer", "Earned by", ">Points", "", "Valid for days", ">Worth", "", "State", "From")
    print_table(
        "",
        titles,
        (
            (
                x["id"],
                x["issuer"],
                f"{x['kind']} of {x['per']} {x['unit']}",
                x["points"],
                x["points_unit"],
                x["valid_days"],
                x["worth"],
                x["unit"],
                x["state"],
                x["from"],
            )
            for x in listed
        ),
    )


@rules.command()
@click.argument("rule_id", type=int)
@pass_context
def end(context: Context, rule_id: int) -> None:
    """Let nothing be earned by a rule any more; what was earned stays."""
    with context.application() as application, transaction(application.database) as session:
        end_rule(session, rule_id)
    click.echo(f"rule {rule_id} has ended")


def _rule(session: Session, row: PointsRuleRow) -> dict[str, Any]:
    unit = unit_of(session, row.unit)
    return {
        "id": row.id,
        "issuer": session.get_one(AccountRow, row.issuer_id).code,
        "kind": row.kind,
        "per": format_amount(row.per, unit),
        "unit": unit.code,
        "points": row.points,
        "points_unit": row.points_unit,
        "valid_days": row.valid_days,
        "worth": format_amount(row.worth, unit),
        "state": row.state,
        "from": moment(row.from_us),
    }


def _said(rule: dict[str, Any]) -> str:
    how = "a first top-up of" if rule["kind"] == REFERRAL else f"each {rule['kind'].replace('_', '-')} of"
    return f"{rule['points']} {rule['points_unit']} for {how} {rule['per']} {rule['unit']}"


@points.command()
@click.argument("account")
@json_option
@pass_context
def show(context: Context, account: str, as_json: bool) -> None:
    """Show what ACCOUNT has, and the lots that it earned."""
    with context.application() as application, transaction(reading(application.database)) as session:
        row = account_by_code(session, account)
        held = [
            {
                "unit": x.unit,
                "left": x.left,
                "expires_next": x.expires_next,
                "expires": moment(x.expires_us),
            }
            for x in holdings(session, row.id, context.clock.now_us())
        ]
        query = select(PointsLotRow).where(PointsLotRow.account_id == row.id).order_by(PointsLotRow.id)
        lots = [
            {
                "id": lot.id,
                "unit": lot.unit,
                "earned": lot.earned,
                "left": lot.left,
                "taken_back": lot.taken_back,
                "at": moment(lot.earned_us),
                "expires": moment(lot.expires_us),
                "by": lot.key.partition(":")[0],
                "rule": lot.rule_id,
                "entry": lot.entry_id,
            }
            for lot in session.scalars(query)
        ]
    if as_json:
        print_json({"account": account, "points": held, "lots": lots})
        return
    print_table("", ("Points", ">Left", ">Go next", "At"), (list(x.values()) for x in held))
    titles = (">Lot", "", ">Earned", ">Left", ">Taken back", "At", "Expires", "By", ">Rule", "Entry")
    print_table("", titles, (list(x.values()) for x in lots))


@points.command("spend")
@click.argument("account")
@click.argument("count", type=int)
@click.option("--points-unit", required=True, help="Which points.")
@click.option("--unit", "unit_code", required=True, help="Currency of the wallet that they fill.")
@click.option("--key", default="", help="The same key spends once.")
@json_option
@pass_context
def spend_some(context: Context, /, account: str, *, count: int, as_json: bool, **named: Any) -> None:
    """Turn COUNT points of ACCOUNT into funds of its wallet, the first to expire first."""
    spending = Spending(named["points_unit"].upper(), count, named["unit_code"].upper(), named["key"])
    with context.application() as application, billing(application) as (session, books):
        row = account_by_code(session, account)
        spent = spend(session, books, row, spending, context.clock.now_us())
        amount = format_amount(spent.amount, unit_of(session, spent.unit))
    if as_json:
        told = {"points": spent.points, "amount": amount, "unit": spent.unit, "entry": spent.entry_id}
        print_json(told | {"repeated": spent.repeated})
        return
    if spent.repeated:
        click.echo("They had been spent before; nothing moved.")
    click.echo(f"{spent.points} {spending.points_unit} became {amount} {spent.unit}")


@points.command()
@click.argument("account")
@click.argument("count", type=int)
@click.option("--rule", "rule_id", type=int, required=True, help="They last and are worth as it says.")
@click.option("--reason", required=True, help="Kept with the entry.")
@click.option("--key", default="", help="The same key gives once.")
@pass_context
def give(context: Context, account: str, *, count: int, rule_id: int, reason: str, key: str) -> None:
    """Give ACCOUNT points by hand."""
    with context.application() as application, billing(application) as (session, books):
        row = account_by_code(session, account)
        now_us = context.clock.now_us()
        given = give_by_hand(session, books, row, rule_id, count, key=key, reason=reason, now_us=now_us)
    click.echo(f"{count} points given" if given else "They had been given before; nothing moved.")


@points.command("refer")
@click.argument("account")
@click.argument("referrer")
@pass_context
def refer_account(context: Context, account: str, referrer: str) -> None:
    """Write down that REFERRER brought ACCOUNT: rewarded once that has brought its first money."""
    with context.application() as application, transaction(application.database) as session:
        brought = account_by_code(session, account)
        refer(session, brought, account_by_code(session, referrer), context.clock.now_us())
    click.echo(f"{account} was brought by {referrer}")


@points.command("referrals")
@json_option
@pass_context
def list_referrals(context: Context, as_json: bool) -> None:
    """List who brought whom."""
    with context.application() as application, transaction(reading(application.database)) as session:
        listed = [
            {
                "account": session.get_one(AccountRow, row.account_id).code,
                "referrer": session.get_one(AccountRow, row.referrer_id).code,
                "since": moment(row.created_us),
                "rewarded": moment(row.rewarded_us),
            }
            for row in session.scalars(select(ReferralRow).order_by(ReferralRow.account_id))
        ]
    if as_json:
        print_json(listed)
        return
    print_table("", ("Account", "Brought by", "Since", "Rewarded"), (list(x.values()) for x in listed))


def _issuer(session: Session, code: str | None) -> AccountRow:
    if code is not None:
        return account_by_code(session, code)
    operator = session.scalar(select(AccountRow).where(AccountRow.kind == "operator"))
    if operator is None:
        raise InputRefused("there is no operator yet; run `pbxbill init` first")
    return operator


COMMANDS = (points,)
