"""simulate: what last period's calls would bring by another tariff or deck."""

from collections.abc import Iterator
from typing import Any

import click

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import (
    json_option,
    minutes,
    parse_moment,
    print_csv,
    print_json,
    print_table,
    progress,
    seconds,
)
from pbxbill.cli.rerate import names_and_units
from pbxbill.money import Unit, format_amount

CSV_COLUMNS = (
    "group",
    "name",
    "unit",
    "calls",
    "seconds",
    "old",
    "new",
    "delta",
    "cost",
    "old_margin",
    "new_margin",
    "without_cost",
    "dearer",
    "cheaper",
    "unrated",
    "unrated_old",
    "left_out",
)


@click.command()
@click.option("--from", "since", required=True, help="Calls that began at or after this moment, UTC.")
@click.option("--to", "until", required=True, help="Calls that began before this moment, UTC.")
@click.option("--account", "accounts", multiple=True, help="Charges of this account; repeatable.")
@click.option("--tariff", help="The tariff to try.")
@click.option("--deck", help="The deck to try, under the terms of the tariffs in use.")
@click.option(
    "--top", default=10, show_default=True, type=click.IntRange(0, 1000), help="Calls and numbers shown."
)
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, by account and by destination.")
@pass_context
def simulate(context: Context, /, top: int, *, as_json: bool, as_csv: bool, **named: Any) -> None:
    """Rate the calls of a period by another tariff or deck, and compare. Nothing is changed.

    Revenue and margin are without tax. The cost of a call is what the account above was charged for it, or at
    the top what its carrier asks.
    """
    from pbxbill.mediation.simulate import Scenario
    from pbxbill.mediation.simulate import simulate as tried

    scenario = Scenario(
        parse_moment(named["since"]),
        parse_moment(named["until"]),
        tuple(sorted(set(named["accounts"]))),
        named["tariff"],
        named["deck"],
        top,
    )
    with context.application() as application:
        with progress("simulating", "calls") as tell:
            outcome = tried(application.connect, application.clock, scenario, tell)
        names, units = names_and_units(application)
    rows = [
        _compared("account", names[account_id], units[unit], sums)
        for (unit, account_id), sums in sorted(outcome.by_account.items(), key=lambda x: names[x[0][1]])
    ]
    rows += [
        _compared("destination", name, units[unit], sums)
        for (unit, name), sums in sorted(outcome.by_destination.items())
    ]
    if as_csv:
        print_csv(CSV_COLUMNS, ([row[key] for key in CSV_COLUMNS] for row in rows))
        return
    moved = {
        "dearer": [_moved(x, names, units) for x in outcome.dearest],
        "cheaper": [_moved(x, names, units) for x in outcome.cheapest],
    }
    numbers = dict(outcome.numbers.most_common(top))
    if as_json:
        print_json(
            {
                "calls": outcome.calls,
                "groups": rows,
                **moved,
                "numbers_without_rate": numbers,
                "left_out": dict(outcome.reasons),
            }
        )
        return
    for group in ("account", "destination"):
        _print_group(group, [row for row in rows if row["group"] == group], outcome.calls)
    for name, calls in moved.items():
        if calls:
            columns = ("Session", "Account", "Called", "Destination", ">Was", ">Would be", "")
            print_table(
                f"Calls that get {name} the most, with tax", columns, map(tuple, map(dict.values, calls))
            )
    if numbers:
        print_table("Numbers without a rate", ("Number", ">Calls"), numbers.items())
    for why, count in sorted(outcome.reasons.items()):
        click.echo(f"{count} charges were left out: {why}")


def _compared(group: str, name: str, unit: Unit, sums: Any) -> dict[str, Any]:
    return {
        "group": group,
        "name": name,
        "unit": unit.code,
        "calls": sums.calls,
        "seconds": seconds(sums.billed_us),
        "old": format_amount(sums.old, unit),
        "new": format_amount(sums.new, unit),
        "delta": format_amount(sums.new - sums.old, unit),
        "cost": format_amount(sums.cost, unit),
        "old_margin": format_amount(sums.old - sums.cost, unit),
        "new_margin": format_amount(sums.new - sums.cost, unit),
        "without_cost": sums.without_cost,
        "dearer": sums.dearer,
        "cheaper": sums.cheaper,
        "unrated": sums.unrated,
        "unrated_old": format_amount(sums.unrated_old, unit),
        "left_out": sums.left_out,
        "time": minutes(sums.billed_us),
    }


def _moved(call: Any, names: dict[int, str], units: dict[str, Unit]) -> dict[str, Any]:
    unit = units[call.unit]
    return {
        "session_id": call.session_id,
        "account": names[call.account_id],
        "called": call.called,
        "destination": call.destination,
        "old": format_amount(call.old, unit),
        "new": format_amount(call.new, unit),
        "unit": unit.code,
    }


def _print_group(group: str, rows: list[dict[str, Any]], calls: int) -> None:
    keys = ("name", "calls", "time", "old", "new", "delta", "cost", "new_margin")
    counted = ("dearer", "cheaper", "unrated", "without_cost", "unit")
    columns = (
        group.capitalize(),
        ">Charges",
        ">Time",
        ">Revenue",
        ">Would be",
        ">Delta",
        ">Cost",
        ">Margin then",
        ">Dearer",
        ">Cheaper",
        ">No rate",
        ">No cost",
        "",
    )

    def cells() -> Iterator[list[Any]]:
        for row in rows:
            yield [row[key] for key in (*keys, *counted)]

    print_table(f"{calls} calls, without tax", columns, cells())


COMMANDS = (simulate,)
