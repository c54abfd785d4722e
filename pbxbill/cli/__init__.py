"""The command line: the outermost layer, which alone turns faults into exit codes and lines for people."""

from pathlib import Path

import click

from pbxbill.cli import (
    accounts,
    alerts,
    bill,
    billing_profiles,
    books,
    bundles,
    calendars,
    calls,
    carriers,
    cdrs,
    charges,
    daemons,
    destinations,
    diagnosis,
    dids,
    install,
    invoices,
    issuers,
    jobs,
    limits,
    mail,
    mediation,
    meters,
    parties,
    payments,
    plans,
    proof,
    quarantine,
    quotes,
    rate,
    rates,
    rerate,
    services,
    setup,
    shadow,
    simulate,
    subscription_requests,
    subscriptions,
    tariffs,
    taxes,
    templates,
    units,
    vouchers,
    wallets,
)
from pbxbill.cli.context import Context, FaultTolerantGroup


@click.group(cls=FaultTolerantGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file; else $PBXBILL_CONFIG, ./pbxbill.toml or /etc/pbxbill/pbxbill.toml.",
)
@click.pass_context
def cli(context: click.Context, config: Path | None) -> None:
    """Real-time billing beside FreeSWITCH and Asterisk."""
    context.obj = Context(config)


for _module in (
    setup,
    daemons,
    jobs,
    accounts,
    wallets,
    units,
    tariffs,
    rates,
    rate,
    calendars,
    bundles,
    services,
    carriers,
    destinations,
    limits,
    alerts,
    calls,
    cdrs,
    proof,
    shadow,
    rerate,
    simulate,
    diagnosis,
    install,
    mediation,
    meters,
    quarantine,
    mail,
    parties,
    issuers,
    billing_profiles,
    taxes,
    templates,
    invoices,
    payments,
    vouchers,
    quotes,
    plans,
    subscriptions,
    subscription_requests,
    charges,
    dids,
    bill,
    books,
):
    for _command in _module.COMMANDS:
        cli.add_command(_command)


def main() -> None:
    """The entry point."""
    cli(prog_name="pbxbill")
