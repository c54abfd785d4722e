"""meters and readings: consumption that is charged between two readings."""

import json
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, parse_moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.mediation.meter_tariffs import NewMeter, add_meter_tariff, parse_quantity
from pbxbill.mediation.meter_tariffs import add_meter as add_meter_to
from pbxbill.mediation.meters import PeriodPosted, Reading, quantity_text, take_reading
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import reading, transaction
from pbxbill.store.mediation_models import MeterReadingRow, MeterRow
from pbxbill.store.models import AccountRow


@click.group()
def meters() -> None:
    """Meters: what counts for an account, by which tariff."""


@meters.command("add")
@click.argument("code")
@click.option("--account", "account_code", required=True, help="Whose meter it is.")
@click.option("--tariff", required=True, help="A meter tariff; see `pbxbill meters tariff set`.")
@click.option("--measure", default="items", show_default=True, help="What it counts: kWh, MB, items ...")
@click.option("--rolls-over-at", help="The value after its highest one, which it shows as 0.")
@pass_context
def add_meter(
    context: Context, code: str, account_code: str, tariff: str, measure: str, rolls_over_at: str | None
) -> None:
    """Give an account a meter."""
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, account_code)
        new = NewMeter(code, tariff, measure, rolls_over_at)
        add_meter_to(session, account.id, new, context.clock.now_us())
    click.echo(f"meter {code} counts {measure} for account {account_code}; its first reading starts it")


@meters.command("list")
@click.option("--account", "account_code", help="Meters of one account.")
@json_option
@pass_context
def list_meters(context: Context, account_code: str | None, as_json: bool) -> None:
    """List meters with their last readings."""
    query = select(MeterRow, AccountRow.code).join(AccountRow, AccountRow.id == MeterRow.account_id)
    if account_code is not None:
        query = query.where(AccountRow.code == account_code)
    shown = []
    with context.application() as application, transaction(reading(application.database)) as session:
        for row, account in session.execute(query.order_by(MeterRow.code)):
            last = session.scalar(
                select(MeterReadingRow)
                .where(MeterReadingRow.meter_id == row.id)
                .order_by(MeterReadingRow.at_us.desc())
                .limit(1)
            )
            value = None if last is None else last.value if last.restarts_at is None else last.restarts_at
            shown.append(
                {
                    "meter": row.code,
                    "account": account,
                    "tariff": row.tariff,
                    "shows": None if value is None else quantity_text(value),
                    "measure": row.measure,
                    "read": None if last is None else moment(last.at_us),
                }
            )
    if as_json:
        print_json(shown)
        return
    titles = ("Meter", "Account", "Tariff", ">Shows", "", "Read")
    print_table("", titles, (list(row.values()) for row in shown))


@meters.group("tariff")
def meter_tariff() -> None:
    """What consumption costs."""


@meter_tariff.command("set")
@click.argument("name")
@click.option("--file", "path", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--from", "effective_from", default="2000-01-01", show_default=True, help="In force from, UTC.")
@pass_context
def set_tariff(context: Context, name: str, path: Path, effective_from: str) -> None:
    """Make a meter tariff, or the next version of one, from a TOML file."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise InputRefused(f"{path}: is no UTF-8 text") from None
    with context.application() as application, transaction(application.database) as session:
        row = add_meter_tariff(session, name, text, parse_moment(effective_from), context.clock.now_us())
        number = row.number
    click.echo(f"meter tariff {name} has version {number}")


@click.group()
def readings() -> None:
    """Readings: what meters showed."""


@readings.command("add", context_settings={"ignore_unknown_options": True})  # -5 is refused as a value
@click.argument("meter")
@click.argument("value")
@click.option("--at", help="When it was read, UTC unless it says otherwise; now, if left out.")
@click.option(
    "--replaced-by",
    "restarts_at",
    metavar="START",
    help="The meter was replaced: this is the old one's last reading, the new one began with START.",
)
@pass_context
def add_reading(context: Context, meter: str, value: str, at: str | None, restarts_at: str | None) -> None:
    """Take a reading and charge what was consumed since the one before."""
    now_us = context.clock.now_us()
    at_us = now_us if at is None else parse_moment(at)
    restarts = None if restarts_at is None else parse_quantity(restarts_at)
    with context.application() as application:
        driver = application.connect()
        try:
            catalogue = LoadedCatalogue(application.connect, serving=False)
            catalogue.refresh(driver, now_us)
            driver.begin()
            found = take_reading(
                driver, catalogue, Reading(meter, parse_quantity(value), at_us, restarts), now_us
            )
            driver.commit()
        finally:
            driver.close()
    if not isinstance(found, PeriodPosted):
        click.echo("this reading was taken before; nothing changed")
        return
    if "first" in found.explanation:
        click.echo(f"meter {meter} begins with {found.explanation['first']}; nothing is charged")
        return
    explanation = found.explanation
    click.echo(f"{explanation['consumed']} cost {explanation['total']}, tax {explanation['tax']} of it")
    for line in explanation["lines"]:
        click.echo(f"  {line}")


@readings.command("list")
@click.argument("meter")
@json_option
@pass_context
def list_readings(context: Context, meter: str, as_json: bool) -> None:
    """List a meter's readings with what each period cost and why."""
    with context.application() as application, transaction(reading(application.database)) as session:
        meter_id = session.scalar(select(MeterRow.id).where(MeterRow.code == meter))
        if meter_id is None:
            raise InputRefused(f"no meter {meter[:64]!r}; `pbxbill meters list` shows them")
        query = select(MeterReadingRow).where(MeterReadingRow.meter_id == meter_id)
        shown = [_shown(row) for row in session.scalars(query.order_by(MeterReadingRow.at_us))]
    if as_json:
        print_json(shown)
        return
    keys = ("read", "shows", "consumed", "total", "entry")
    titles = ("Read", ">Shows", "Consumed", ">Charged", "Entry")
    print_table("", titles, ([row[key] for key in keys] for row in shown))


def _shown(row: MeterReadingRow) -> dict[str, Any]:
    explanation: dict[str, Any] = json.loads(row.explanation)
    return {
        "read": moment(row.at_us),
        "shows": quantity_text(row.value),
        "restarts_at": None if row.restarts_at is None else quantity_text(row.restarts_at),
        "consumed": explanation.get("consumed"),
        "total": explanation.get("total"),
        "entry": row.entry_id,
        "explanation": explanation,
    }


COMMANDS = (meters, readings)
