"""rate: what a call would cost at each level, and how long it could last."""

from typing import Any

import click

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, minutes, print_json, print_table
from pbxbill.cli.quote import Quote, quote
from pbxbill.clock import SECOND_US
from pbxbill.money import PRICE_SCALE, format_amount, to_decimal


@click.command()
@click.argument("number")
@click.option("--account", "code", required=True, help="Who would call.")
@click.option("--seconds", "duration_s", default=60, show_default=True, type=click.IntRange(0, 10**7))
@json_option
@pass_context
def rate(context: Context, number: str, code: str, duration_s: int, as_json: bool) -> None:
    """What a call would cost at each level of the account's chain, and how long its funds could last."""
    with context.application() as application:
        found = quote(application, code, number, duration_s * SECOND_US)
    if as_json:
        print_json(_quoted(found, duration_s))
        return
    shown = _quoted(found, duration_s)
    click.echo(f"{number} is {found.called}, {found.destination}")
    keys = (
        "account",
        "tariff",
        "prefix",
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
        ">Per min",
        ">Billed s",
        ">Total",
        ">of it tax",
        "Unit",
        ">Available",
        ">Lasts",
    )
    print_table("", titles, ([x[key] for key in keys] for x in shown["levels"]))
    click.echo(f"the call could last {minutes(found.longest_us)} with all levels' funds as they are now")


def _quoted(found: Quote, duration_s: int) -> dict[str, Any]:
    return {
        "called": found.called,
        "destination": found.destination,
        "seconds": duration_s,
        "longest_s": found.longest_us // SECOND_US,
        "levels": [
            {
                "account": x.account,
                "tariff": x.tariff,
                "prefix": x.rate.prefix or "*",
                "price_per_min": f"{to_decimal(x.rate.price_per_min, PRICE_SCALE).normalize():f}",
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
