"""carriers, gateways and margin: whom calls are sent through, what that costs, and what is left."""

from decimal import ROUND_HALF_UP
from typing import Any

import click
from sqlalchemy import select

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, minutes, parse_moment, print_json, print_table, seconds
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount, to_decimal
from pbxbill.store.accounts import unit_of
from pbxbill.store.carriers import (
    all_carriers,
    all_gateways,
    carrier_by_name,
    put_carrier,
    remove_gateway,
    set_gateway,
)
from pbxbill.store.engine import reading, transaction
from pbxbill.store.margin import GROUPS, MarginLine, margin_report, total_of
from pbxbill.store.models import UnitRow

DAY_US = 86_400_000_000
DAYS_SHOWN = 30


@click.group()
def carriers() -> None:
    """Carriers: whom calls are sent through, and the tariffs by which they ask for them."""


@carriers.command("add")
@click.argument("name")
@click.option("--tariff", required=True, help="With the rate deck of what the carrier asks.")
@pass_context
def add(context: Context, name: str, tariff: str) -> None:
    """Make a carrier, or give one another tariff; the cost of old calls stays as it is."""
    with context.application() as application, transaction(application.database) as session:
        _, is_new = put_carrier(session, name, tariff)
    click.echo(f"carrier {name} asks by tariff {tariff}{'' if is_new else ' from now on'}")


@carriers.command("list")
@json_option
@pass_context
def list_carriers(context: Context, as_json: bool) -> None:
    """List carriers with their gateways."""
    with context.application() as application, transaction(reading(application.database)) as session:
        found = all_carriers(session)
    if as_json:
        print_json(
            [
                {"name": x.name, "tariff": x.tariff, "unit": x.unit, "gateways": list(x.gateways)}
                for x in found
            ]
        )
        return
    columns = ("Carrier", "Tariff", "Unit", "Gateways")
    print_table("", columns, ((x.name, x.tariff, x.unit, "\n".join(x.gateways)) for x in found))


@click.group()
def gateways() -> None:
    """Gateways: which carrier a switch's way out leads to."""


@gateways.command("set")
@click.argument("name")
@click.argument("carrier")
@pass_context
def set_carrier(context: Context, name: str, carrier: str) -> None:
    """Say which carrier the gateway NAME, as the switch reports it, leads to."""
    with context.application() as application, transaction(application.database) as session:
        set_gateway(session, name, carrier_by_name(session, carrier))
    click.echo(f"gateway {name} leads to carrier {carrier}")


@gateways.command("list")
@json_option
@pass_context
def list_gateways(context: Context, as_json: bool) -> None:
    """List gateways."""
    with context.application() as application, transaction(reading(application.database)) as session:
        found = all_gateways(session)
    if as_json:
        print_json([{"gateway": gateway, "carrier": carrier} for gateway, carrier in found])
        return
    print_table("", ("Gateway", "Carrier"), found)


@gateways.command("remove")
@click.argument("name")
@pass_context
def remove(context: Context, name: str) -> None:
    """Forget a gateway; what calls through it cost is unknown from now on."""
    with context.application() as application, transaction(application.database) as session:
        remove_gateway(session, name)
    click.echo(f"gateway {name} leads to no known carrier")


@click.command()
@click.option("--from", "since", help=f"Calls that started from here, UTC; default: {DAYS_SHOWN} days ago.")
@click.option("--to", "until", help="Calls that started before, UTC; default: now.")
@click.option("--by", type=click.Choice(GROUPS), default="carrier", show_default=True)
@click.option("--unit", "unit_code", help="What to count in; default: the only unit there is.")
@json_option
@pass_context
def margin(
    context: Context,
    /,
    since: str | None,
    until: str | None,
    by: str,
    *,
    unit_code: str | None,
    as_json: bool,
) -> None:
    """What answered calls brought, what their carriers ask, and what is left, all without tax.

    Calls of which no carrier or no rate is known are counted apart: they have no margin.
    """
    now_us = context.clock.now_us()
    to_us = now_us if until is None else parse_moment(until)
    from_us = to_us - DAYS_SHOWN * DAY_US if since is None else parse_moment(since)
    if from_us >= to_us:
        raise InputRefused("--from must lie before --to")
    with context.application() as application, transaction(reading(application.database)) as session:
        codes = session.scalars(select(UnitRow.code).order_by(UnitRow.code)).all()
        if unit_code is None and len(codes) != 1:
            raise InputRefused(f"choose a --unit: {', '.join(codes)}")
        unit = unit_of(session, (unit_code or codes[0]).upper())
        lines = margin_report(session, by, unit.code, from_us, to_us)
    total = total_of(lines)
    if as_json:
        shown = [_shown(line, unit) for line in lines]
        print_json({"unit": unit.code, "by": by, "lines": shown, "total": _shown(total, unit)})
        return
    columns = (
        by.capitalize(),
        ">Calls",
        ">Time",
        ">Revenue",
        ">Cost",
        ">Margin",
        ">%",
        ">Unknown",
        ">Their revenue",
    )
    print_table(f"in {unit.code}, without tax", columns, (_cells(x, unit) for x in (*lines, total)))
    if total.unconverted_calls:
        click.echo(
            f"calls in no sum, for no exchange rate leads to {unit.code}: {total.unconverted_calls}; "
            "`pbxbill exchange set` makes one",
            err=True,
        )


def _shown(line: MarginLine, unit: Unit) -> dict[str, Any]:
    found = line.margin
    return {
        "name": line.name,
        "calls": line.calls,
        "seconds": seconds(line.billed_us),
        "revenue": format_amount(line.revenue, unit),
        "cost": format_amount(line.cost, unit),
        "margin": format_amount(found.amount, unit),
        "margin_percent": _percent(found.ppm),
        "unknown_cost_calls": line.unknown_calls,
        "unknown_cost_revenue": format_amount(line.unknown_revenue, unit),
        "unconverted_calls": line.unconverted_calls,
    }


def _cells(line: MarginLine, unit: Unit) -> list[Any]:
    shown = _shown(line, unit)
    keys = ("revenue", "cost", "margin", "margin_percent", "unknown_cost_calls", "unknown_cost_revenue")
    return [line.name or "none known", line.calls, minutes(line.billed_us), *(shown[key] for key in keys)]


def _percent(ppm: int | None) -> str | None:
    return None if ppm is None else f"{to_decimal(ppm, 4).quantize(to_decimal(1, 1), ROUND_HALF_UP):f}"


COMMANDS = (carriers, gateways, margin)
