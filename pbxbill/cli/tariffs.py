"""tariffs: the terms by which calls are charged."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, price_of, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.money import PRICE_SCALE, Rounding, to_decimal
from pbxbill.rating.tariff import CycleStepKind, CycleSteps, MarkUp, TaxMode
from pbxbill.rating.tariff_terms import CYCLES, cycle_steps_from_json, mark_up_from_json
from pbxbill.rating.tariff_text import percent_ppm, signed_price, steps_from_text, steps_text
from pbxbill.store.accounts import tariff_by_name
from pbxbill.store.catalogue_models import BandCalendarRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import RateDeckRow, TariffRow, TariffVersionRow, UnitRow
from pbxbill.store.tariffs import NewTariff, add_tariff_version, newest_terms

reseller_option = click.option("--reseller", help="Whose tariff; default: the operator's.")


@click.group()
def tariffs() -> None:
    """Tariffs: a rate deck, or a mark-up on the prices above, with tax, bands, rounding and slices."""


def _terms(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say a tariff's terms."""
    spoken = (
        click.option(f"--announce-{name}/--no-announce-{name}", default=None)
        for name in ("balance", "minutes", "warning", "denial")
    )
    options = (
        click.option("--deck", help="The rate deck with its prices."),
        click.option("--unit", help="Of a tariff without a deck; default: the only one there is."),
        click.option("--calendar", help="The calendar that says which band holds when; '' for none."),
        click.option(
            "--mark-up", help="Instead of a deck: percent on the prices of the account above, e.g. 20."
        ),
        click.option("--mark-up-absolute", help="Added to them per minute, e.g. 0.005."),
        click.option("--mark-up-rounding", help="Prices so made are rounded up to a multiple of this."),
        click.option(
            "--refuse-loss/--allow-loss", default=None, help="Calls that cost the account above more."
        ),
        click.option(
            "--cycle-steps",
            help="Prices by use in a cycle, e.g. '0:0.05 6000:0.04' (seconds:price); '' for none.",
        ),
        click.option("--cycle-kind", type=click.Choice([kind.value for kind in CycleStepKind])),
        click.option("--cycle", type=click.Choice(CYCLES)),
        click.option("--cycle-zone", help="Time zone in which cycles begin."),
        click.option(
            "--cycle-destination", "cycle_destinations", multiple=True, help="Name or class; repeat it."
        ),
        click.option(
            "--tax-mode", type=click.Choice([mode.value for mode in TaxMode]), help="Default: none."
        ),
        click.option("--tax", help="Tax rate in percent, e.g. 19 or 7.7."),
        click.option(
            "--rounding", type=click.Choice([mode.value for mode in Rounding]), help="Default: half_up."
        ),
        click.option("--rounding-step", type=int, help="In the unit's smallest steps; default: 1."),
        click.option("--slice-s", type=int, help="Seconds that are reserved at a time; default: 60."),
        click.option("--renew-before-s", type=int, help="When the next slice is reserved; default: 15."),
        click.option("--max-call-s", type=int, help="The longest call; default: 14400."),
        *spoken,
    )
    for option in reversed(options):
        command = option(command)
    return command


@tariffs.command("add")
@click.argument("name")
@reseller_option
@_terms
@pass_context
def add_tariff(context: Context, /, name: str, reseller: str | None, **options: Any) -> None:
    """Make a tariff, or the next version of one; live calls keep the version they began with.

    What is not said has its default; `tariffs set` keeps what the version before says.
    """
    _write(context, name, {"issuer_id": _issuer_id(context, reseller)}, options)


def _issuer_id(context: Context, reseller: str | None) -> int:
    with context.application() as application, transaction(reading(application.database)) as session:
        return issuer_by_code(session, reseller).id


@tariffs.command("set")
@click.argument("name")
@reseller_option
@_terms
@pass_context
def set_tariff(context: Context, /, name: str, reseller: str | None, **options: Any) -> None:
    """Change some terms of a tariff: its next version keeps the others.

    A calendar that it names is taken in its newest version.
    """
    with context.application() as application, transaction(reading(application.database)) as session:
        before = newest_terms(session, tariff_by_name(session, name, issuer_by_code(session, reseller).id))
    _write(context, name, {f.name: getattr(before, f.name) for f in fields(before)}, options)


def _write(context: Context, name: str, terms: dict[str, Any], options: dict[str, Any]) -> None:
    said = {key: value for key, value in options.items() if value not in (None, ())}
    simple = ("rounding_step", "slice_s", "renew_before_s", "max_call_s", "refuse_loss")
    for key in (*simple, *(f"announce_{x}" for x in ("balance", "minutes", "warning", "denial"))):
        if key in said:
            terms[key] = said[key]
    if "tax_mode" in said:
        terms["tax_mode"] = TaxMode(said["tax_mode"])
    if "tax" in said:
        terms["tax_ppm"] = percent_ppm(said["tax"], "a tax rate")
    if "rounding" in said:
        terms["rounding"] = Rounding(said["rounding"])
    if "calendar" in said:
        terms["calendar"] = said["calendar"] or None
    if "deck" in said:
        terms |= {"deck": said["deck"], "mark_up": None, "unit": None}
    if "unit" in said:
        terms["unit"] = said["unit"].upper()
    mark_up = _mark_up(terms.get("mark_up"), said)
    if mark_up is not None:
        terms["mark_up"] = mark_up
        if "deck" not in said:
            terms["deck"] = None
    terms["cycle_steps"] = _cycle_steps(terms.get("cycle_steps"), said)
    if terms.get("tax_ppm") and terms.get("tax_mode", TaxMode.NONE) is TaxMode.NONE:
        raise InputRefused("with --tax, say by --tax-mode whether prices include it")
    with context.application() as application, transaction(application.database) as session:
        new = NewTariff(**{"deck": None, **_with_unit(session, terms), "name": name})
        version = add_tariff_version(session, new, context.clock.now_us())
    click.echo(f"tariff {name} has version {version.number}")


def _with_unit(session: Session, terms: dict[str, Any]) -> dict[str, Any]:
    """A tariff without a deck is in the only unit there is, if nobody said one."""
    if terms.get("mark_up") is None or terms.get("deck") is not None or terms.get("unit") is not None:
        return terms
    codes = session.scalars(select(UnitRow.code).order_by(UnitRow.code)).all()
    if len(codes) != 1:
        choices = " or ".join(f"--unit {code}" for code in codes) or "there is none yet; run `pbxbill init`"
        raise InputRefused(f"a tariff without a deck needs its unit: {choices}")
    return terms | {"unit": codes[0]}


def _mark_up(before: MarkUp | None, said: dict[str, Any]) -> MarkUp | None:
    parts: dict[str, int] = {}
    if "mark_up" in said:
        parts["ppm"] = percent_ppm(said["mark_up"], "a mark-up")
    if "mark_up_absolute" in said:
        parts["absolute"] = signed_price(said["mark_up_absolute"])
    if "mark_up_rounding" in said:
        parts["rounding_step"] = price_of("--mark-up-rounding", said["mark_up_rounding"])
    return (before or MarkUp())._replace(**parts) if parts else None


def _cycle_steps(before: CycleSteps | None, said: dict[str, Any]) -> CycleSteps | None:
    keys = ("cycle_steps", "cycle_kind", "cycle", "cycle_zone", "cycle_destinations")
    if not any(key in said for key in keys):
        return before
    if said.get("cycle_steps") == "":
        return None
    steps = before.steps if before else ()
    if "cycle_steps" in said:
        steps = steps_from_text(said["cycle_steps"], "--cycle-steps")
    if not steps:
        raise InputRefused("--cycle-kind, --cycle, --cycle-zone and --cycle-destination need --cycle-steps")
    return CycleSteps(
        CycleStepKind(said.get("cycle_kind", before.kind if before else CycleStepKind.GRADUATED)),
        said.get("cycle", before.cycle if before else "month"),
        said.get("cycle_zone", before.zone if before else "UTC"),
        steps,
        tuple(said.get("cycle_destinations", before.destinations if before else ())),
    )


@tariffs.command("list")
@reseller_option
@json_option
@pass_context
def list_tariffs(context: Context, reseller: str | None, as_json: bool) -> None:
    """List tariffs with their current terms."""
    shown = [versions[-1] for versions in _versions(context, reseller).values()]
    if as_json:
        print_json(shown)
        return
    keys = ("tariff", "version", "deck", "unit", "tax_mode", "tax_percent", "slice_s", "max_call_s")
    titles = ("Tariff", ">Version", "Deck", "Unit", "Tax", ">Percent", ">Slice s", ">Longest s")
    print_table("", titles, ([x[key] for key in keys] for x in shown))


@tariffs.command("show")
@click.argument("name")
@reseller_option
@json_option
@pass_context
def show_tariff(context: Context, name: str, reseller: str | None, as_json: bool) -> None:
    """Show every version of a tariff."""
    versions = _versions(context, reseller).get(name)
    if versions is None:
        raise InputRefused(f"no tariff {name!r}; `pbxbill tariffs list` shows them")
    if as_json:
        print_json(versions)
        return
    for terms in versions:
        print_table("", ("", ""), ((key.replace("_", " "), value) for key, value in terms.items()))


def _versions(context: Context, reseller: str | None) -> dict[str, list[dict[str, Any]]]:
    with context.application() as application, transaction(reading(application.database)) as session:
        rows = session.execute(
            select(TariffRow.name, TariffVersionRow, RateDeckRow, BandCalendarRow)
            .join(TariffVersionRow, TariffVersionRow.tariff_id == TariffRow.id)
            .outerjoin(RateDeckRow, RateDeckRow.id == TariffVersionRow.deck_id)
            .outerjoin(BandCalendarRow, BandCalendarRow.id == TariffVersionRow.calendar_id)
            .where(TariffRow.issuer_id == issuer_by_code(session, reseller).id)
            .order_by(TariffRow.name, TariffVersionRow.number)
        ).all()
    found: dict[str, list[dict[str, Any]]] = {}
    for name, version, deck, calendar in rows:
        terms = {
            "tariff": name,
            "version": version.number,
            "deck": deck.name if version.deck_id else None,
            "prices_per": f"{deck.per} {deck.measure}" if version.deck_id else None,
            "calendar": f"{calendar.name}, version {calendar.number}" if version.calendar_id else None,
            "mark_up": _shown_mark_up(version.mark_up),
            "refuse_loss": version.refuse_loss,
            "cycle_steps": _shown_cycle_steps(version.cycle_steps),
            "unit": version.unit,
            "tax_mode": version.tax_mode,
            "tax_percent": f"{to_decimal(version.tax_ppm, 4).normalize():f}",
            "rounding": version.rounding,
            "rounding_step": version.rounding_step,
            "slice_s": version.slice_s,
            "renew_before_s": version.renew_before_s,
            "max_call_s": version.max_call_s,
            "announce_balance": version.announce_balance,
            "announce_minutes": version.announce_minutes,
            "announce_warning": version.announce_warning,
            "announce_denial": version.announce_denial,
            "made": moment(version.created_us),
        }
        found.setdefault(name, []).append(terms)
    return found


def _shown_mark_up(text: str | None) -> str | None:
    if text is None:
        return None
    mark_up = mark_up_from_json(text)
    said = f"{_plain(mark_up.ppm, 4)} %"
    if mark_up.absolute:
        said += f" and {_plain(mark_up.absolute, PRICE_SCALE)} per minute"
    if mark_up.rounding_step > 1:
        said += f", rounded up to {_plain(mark_up.rounding_step, PRICE_SCALE)}"
    return said


def _shown_cycle_steps(text: str | None) -> str | None:
    if text is None:
        return None
    cycle = cycle_steps_from_json(text)
    steps = steps_text(cycle.steps)
    where = ", ".join(cycle.destinations) or "all destinations"
    return f"{cycle.kind}, per {cycle.cycle} in {cycle.zone}: {steps} ({where})"


def _plain(value: int, scale: int) -> str:
    return f"{to_decimal(value, scale).normalize():f}"


COMMANDS = (tariffs,)
