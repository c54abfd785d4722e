"""Money in: webhooks handled a second, and vouchers that several processes redeem at the same moment."""

import tempfile
from pathlib import Path

from bench.figures import Figures, progress, run
from bench.postgres import measured_postgres
from bench.voucher_redemptions import VOUCHERS, redeem_at_once
from bench.webhooks import handle_webhooks

ABOUT = "payments: webhooks a second with ledger entry, receipt and notice; vouchers redeemed once"
WEBHOOKS, QUICK_WEBHOOKS = 3_000, 200
PER_S = 20
"""1.7 million payments a day."""


def measure_webhooks(figures: Figures, name: str, url: str, count: int) -> None:
    """Webhooks of payments that were paid: each is booked, receipted and told of, once."""
    progress(f"{name}: {count:,} webhooks")
    found = handle_webhooks(url, count)
    if (found.booked, found.messages, found.problems) != (count, count, 0):
        raise RuntimeError(f"{count} payments were to be booked and told of: {found}")
    per_s = found.webhooks / found.took_s
    figures.add(f"{name}.webhooks", per_s=per_s, p50_ms=found.p50_ms, p99_ms=found.p99_ms)
    figures.at_least(f"{name}.webhooks_per_s", per_s, PER_S)


def measure_vouchers(figures: Figures, name: str, url: str) -> None:
    """Each voucher is redeemed once, whatever the race."""
    progress(f"{name}: vouchers redeemed at once")
    found = redeem_at_once(url)
    if (found.redeemed, found.in_wallets, found.problems) != (VOUCHERS, VOUCHERS, 0):
        raise RuntimeError(f"{VOUCHERS} vouchers were to be redeemed: {found}")
    figures.add(
        f"{name}.vouchers",
        tries=found.tries,
        redeemed=found.redeemed,
        seconds=found.took_s,
        p50_ms=found.p50_ms,
        p99_ms=found.p99_ms,
    )


def measure(figures: Figures, quick: bool) -> None:
    """On SQLite, then on PostgreSQL."""
    count = QUICK_WEBHOOKS if quick else WEBHOOKS
    with tempfile.TemporaryDirectory() as folder:
        measure_webhooks(figures, "sqlite", f"sqlite:///{Path(folder) / 'webhooks.db'}", count)
        measure_vouchers(figures, "sqlite", f"sqlite:///{Path(folder) / 'vouchers.db'}")
    with measured_postgres(figures) as server:
        if server is None:
            figures.at_least("postgresql.webhooks_per_s", None, PER_S)
            return
        measure_webhooks(figures, "postgresql", server.url(server.create_database()), count)
        measure_vouchers(figures, "postgresql", server.url(server.create_database()))


if __name__ == "__main__":
    run("payments", ABOUT, measure)
