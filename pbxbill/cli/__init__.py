"""The command line: the outermost layer, which alone turns faults into exit codes and lines for people."""

from pathlib import Path

import click

from pbxbill.cli import (
    accounts,
    ageing,
    alerts,
    auto_topup,
    bill,
    billing_profiles,
    books,
    bundles,
    calendars,
    calls,
    cards,
    carriers,
    cdrs,
    charges,
    daemons,
    destinations,
    diagnosis,
    dids,
    dunning,
    install,
    invoices,
    issuers,
    jobs,
    life_cycle,
    limits,
    mail,
    mediation,
    meters,
    notices,
    parties,
    payment_gateways,
    payments,
    plans,
    points,
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
    thresholds,
    units,
    vouchers,
    wallets,
    web,
    webhooks,
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
    web,
    accounts,
    life_cycle,
    wallets,
    thresholds,
    auto_topup,
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
    notices,
    webhooks,
    parties,
    issuers,
    billing_profiles,
    taxes,
    templates,
    invoices,
    payments,
    payment_gateways,
    vouchers,
    points,
    dunning,
    ageing,
    quotes,
    plans,
    subscriptions,
    subscription_requests,
    charges,
    dids,
    cards,
    bill,
    books,
):
    for _command in _module.COMMANDS:
        cli.add_command(_command)


def main() -> None:
    """The entry point."""
    cli(prog_name="pbxbill")
