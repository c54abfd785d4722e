"""The command line: the outermost layer, which alone turns faults into exit codes and lines for people."""

import difflib
import gc
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

from pbxbill.cli.context import Context, FaultTolerantGroup

COMMANDS_OF = {
    "setup": "init config version",
    "users": "users",
    "daemons": "run esl ami",
    "jobs": "jobs",
    "web": "web",
    "accounts": "accounts",
    "life_cycle": "life-cycle",
    "wallets": "topup reverse-topup transfer adjust",
    "thresholds": "thresholds",
    "auto_topup": "auto-topup",
    "units": "units exchange",
    "tariffs": "tariffs",
    "rates": "rates",
    "rate": "rate",
    "calendars": "calendars",
    "bundles": "bundles",
    "services": "services",
    "carriers": "carriers gateways margin",
    "destinations": "destinations dialling",
    "limits": "limits endpoints",
    "alerts": "alerts",
    "calls": "calls hang-up",
    "cdrs": "cdrs",
    "proof": "verify explain reconcile",
    "shadow": "shadow",
    "rerate": "rerate",
    "simulate": "simulate",
    "diagnosis": "doctor",
    "install": "install",
    "mediation": "mediate mediation",
    "meters": "meters readings",
    "quarantine": "quarantine",
    "mail": "mail",
    "notices": "notices",
    "webhooks": "webhooks",
    "parties": "parties",
    "issuers": "issuers",
    "billing_profiles": "billing",
    "taxes": "taxes",
    "templates": "templates",
    "invoices": "invoices",
    "payments": "payments",
    "payment_gateways": "payment-gateways",
    "vouchers": "vouchers",
    "points": "points",
    "dunning": "dunning promises penalties",
    "ageing": "ageing disputes",
    "quotes": "quotes",
    "plans": "plans",
    "subscription_requests": "subscriptions",
    "charges": "charges",
    "dids": "dids",
    "cards": "cards known-callers access-numbers",
    "bill": "bill",
    "books": "books",
    "reports": "reports",
}
"""The commands of each module of this folder. A module is imported when one of its commands is asked for."""

_MODULE_OF = {name: module for module, names in COMMANDS_OF.items() for name in names.split()}


class Commands(FaultTolerantGroup):
    """All commands: most need little of what the others do."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 the signature is click's
        return sorted(_MODULE_OF)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 the same
        if cmd_name not in _MODULE_OF:
            return None
        commands: Sequence[click.Command] = import_module(f"{__name__}.{_MODULE_OF[cmd_name]}").COMMANDS
        return next(command for command in commands if command.name == cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = difflib.get_close_matches(args[0], _MODULE_OF)
        if args[0] not in _MODULE_OF and near:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {' or '.join(near)}?")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file; else $PBXBILL_CONFIG, ./pbxbill.toml or /etc/pbxbill/pbxbill.toml.",
)
@click.pass_context
def cli(context: click.Context, config: Path | None) -> None:
    """Real-time billing beside FreeSWITCH and Asterisk."""
    if not gc.isenabled():  # a program that begins (__main__.py): its commands are loaded by now
        gc.freeze()
        gc.enable()
    context.obj = Context(config)
