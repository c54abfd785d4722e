"""payment-gateways: issuers' accounts at payment services."""

import json
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.payments.payment_gateways import add_gateway, change_gateway, gateway_by_name
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.gateways.registry import KINDS, setting_names
from pbxbill.settings import Settings
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import PaymentGatewayRow

setting_option = click.option(
    "--set",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting; repeat it. `payment-gateways kinds` lists.",
)
units_option = click.option("--units", help="Currencies that it takes, with commas between; default: any.")


@click.group("payment-gateways")
def payment_gateways() -> None:
    """Payment services that customers pay through."""


@payment_gateways.command("kinds")
@json_option
def kinds(as_json: bool) -> None:
    """List services, and the settings that each takes; those with a star are needed."""
    shown = [
        {"kind": kind.name, "about": kind.about, "settings": dict(setting_names(kind.name))}
        for kind in KINDS.values()
    ]
    if as_json:
        print_json(shown)
        return
    rows = (
        (
            kind.name,
            kind.about,
            " ".join(f"{x}*" if needed else x for x, needed in setting_names(kind.name).items()),
        )
        for kind in KINDS.values()
    )
    print_table("", ("Kind", "About", "Settings"), rows)


@payment_gateways.command("add")
@click.argument("name")
@click.argument("kind")
@click.option("--issuer", help="The reseller whose it is; default: the operator.")
@setting_option
@units_option
@json_option
@pass_context
def add(context: Context, /, name: str, kind: str, *, as_json: bool, **named: Any) -> None:
    """Set up gateway NAME at a service; its webhooks go to the address that is shown."""
    with context.application() as application, transaction(application.database) as session:
        row = add_gateway(
            session,
            _issuer(session, named["issuer"]),
            name=name,
            kind=kind,
            settings=_settings(named["given"]),
            units=_units(named["units"]) or (),
            now_us=context.clock.now_us(),
        )
        shown = _shown(session, row, context.settings)
    _tell([shown], as_json=as_json)


@payment_gateways.command("list")
@json_option
@pass_context
def list_gateways(context: Context, as_json: bool) -> None:
    """List gateways, whose they are, and where their webhooks go."""
    with context.application() as application, transaction(reading(application.database)) as session:
        rows = session.scalars(select(PaymentGatewayRow).order_by(PaymentGatewayRow.id))
        shown = [_shown(session, row, context.settings) for row in rows]
    _tell(shown, as_json=as_json)


@payment_gateways.command("set")
@click.argument("name")
@setting_option
@units_option
@click.option("--enable/--disable", "enabled", default=None, help="Whether it takes new payments.")
@json_option
@pass_context
def change(context: Context, /, name: str, *, as_json: bool, **named: Any) -> None:
    """Change settings of gateway NAME. A disabled one still hears of the payments that it had."""
    with context.application() as application, transaction(application.database) as session:
        row = gateway_by_name(session, name)
        given = _settings(named["given"])
        units = _units(named["units"])
        change_gateway(session, row, settings=given or None, units=units, enabled=named["enabled"])
        shown = _shown(session, row, context.settings)
    _tell([shown], as_json=as_json)


def _issuer(session: Session, code: str | None) -> AccountRow:
    if code is not None:
        return account_by_code(session, code)
    return session.scalars(select(AccountRow).where(AccountRow.kind == "operator")).one()


def _settings(given: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if any(not name or not equals for name, equals, _ in pairs):
        raise InputRefused("--set is written NAME=VALUE")
    return {name.strip(): value for name, _, value in pairs}


def _units(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(code.strip().upper() for code in text.split(",") if code.strip())


def _shown(session: Session, row: PaymentGatewayRow, settings: Settings) -> dict[str, Any]:
    base = settings.web.public_url.rstrip("/") or "(web.public_url is not set)"
    return {
        "name": row.name,
        "kind": row.kind,
        "issuer": session.get_one(AccountRow, row.issuer_id).code,
        "units": row.units,
        "enabled": row.enabled,
        "settings": json.loads(row.settings),  # secrets are not among them
        "webhooks": f"{base}/webhooks/{row.name}",
    }


def _tell(shown: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
        return
    columns = ("Name", "Kind", "Issuer", "Units", "Enabled", "Settings", "Webhooks")
    print_table("", columns, (tuple((x | _told(x)).values()) for x in shown))


def _told(shown: dict[str, Any]) -> dict[str, str]:
    """What people read of a gateway otherwise than programs do."""
    return {
        "units": shown["units"] or "any",
        "enabled": "yes" if shown["enabled"] else "no",
        "settings": " ".join(f"{name}={_as_typed(value)}" for name, value in shown["settings"].items()),
    }


def _as_typed(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


COMMANDS = (payment_gateways,)
