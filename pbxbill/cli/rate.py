"""rate: what a call would cost at each level, and how long it could last."""

from collections.abc import Iterator
from typing import Any

import click

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, minutes, print_json, print_table
from pbxbill.clock import SECOND_US
from pbxbill.money import PRICE_SCALE, format_amount, to_decimal
from pbxbill.quote import Quote, quote


@click.command()
@click.argument("number")
@click.option("--account", "code", required=True, help="Who would call.")
@click.option("--seconds", "duration_s", default=60, show_default=True, type=click.IntRange(0, 10**7))
@json_option
@pass_context
def rate(context: Context, number: str, code: str, duration_s: int, as_json: bool) -> None:
    """What a call would cost at each level of the account's chain, how long it could last, or why not.

    The destination is that of the destinations table, by which bundles and limits go; rates have names
    of their own.
    """
    with context.application() as application:
        found = quote(application, code, number, duration_s * SECOND_US)
    if as_json:
        print_json(_quoted(found, duration_s))
        return
    shown = _quoted(found, duration_s)
    rated_as = found.levels[0].rate.destination
    place = f"{shown['destination']} ({shown['class']})"
    click.echo(f"{number} is {found.called}, {place}, by the rate {rated_as}")
    keys = (
        "account",
        "tariff",
        "prefix",
        "rate",
        "price_per_min",
        "billable_s",
        "total",
        "tax",
        "unit",
        "available",
        "lasts",
    )
    titles = (
        "Account",
        "Tariff",
        "Prefix",
        "Rate",
        ">Per min",
        ">Billed s",
        ">Total",
        ">of it tax",
        "Unit",
        ">Available",
        ">Lasts",
    )
    print_table("", titles, ([x[key] for key in keys] for x in shown["levels"]))
    for line in _verdict(found):
        click.echo(line)


def _verdict(found: Quote) -> Iterator[str]:
    """Whether the call would be let out now, and for how long."""
    if found.refused and len({x.refused for x in found.decided}) == 1:
        yield f"the call would be refused as {found.refused}"
        return
    for x in found.decided:
        if x.refused:
            yield f"from {x.endpoint} the call would be refused as {x.refused}"
        if x.watched:
            place = f" from {x.endpoint}" if len(found.decided) > 1 else ""
            yield f"shadow mode lets the call pass{place}; it would have been refused as {x.watched}"
    if not found.refused:
        yield f"the call could last {minutes(found.longest_us)} with all levels' funds as they are now"


def _quoted(found: Quote, duration_s: int) -> dict[str, Any]:
    return {
        "called": found.called,
        "destination": found.destination.name or found.levels[0].rate.destination,
        "class": found.destination.kind,
        "seconds": duration_s,
        "longest_s": found.longest_us // SECOND_US,
        "refused": found.refused or None,
        "endpoints": [
            {
                "endpoint": x.endpoint or None,
                "refused": x.refused or None,
                "would_be_refused": x.watched or None,
                "longest_s": x.longest_us // SECOND_US,
            }
            for x in found.decided
        ],
        "levels": [
            {
                "account": x.account,
                "tariff": x.tariff,
                "prefix": x.rate.prefix or "*",
                "rate": x.rate.destination,
                "price_per_min": f"{to_decimal(x.price_per_min, PRICE_SCALE).normalize():f}",
                "billable_s": x.charge.billable_s,
                "total": format_amount(x.charge.total, x.unit),
                "tax": format_amount(x.charge.tax, x.unit),
                "unit": x.unit.code,
                "available": format_amount(x.available, x.unit),
                "lasts": minutes(x.lasts_us),
            }
            for x in found.levels
        ],
    }


COMMANDS = (rate,)
