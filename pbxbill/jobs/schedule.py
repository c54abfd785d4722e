"""The jobs of an installation, in the order in which people are shown them."""

from pbxbill.jobs import balances, dunning, invoicing, life_cycle, payments, proof
from pbxbill.jobs.job import Job

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400

JOBS = (
    Job("balances", "wallets that fell below a threshold, or were filled", 1, balances.balances),
    Job("auto-topups", "wallets that fill themselves from saved cards", 2, balances.auto_top_ups),
    Job("payments", "gateways asked about payments that they did not tell of", 15, payments.polling),
    Job("cards", "saved cards that expire soon", 6 * HOUR_S, payments.cards),
    Job("renewals", "charges of subscriptions, planned changes", MINUTE_S, invoicing.renewals),
    Job("invoices", "billing runs: invoices of periods that are over, sent", 6 * HOUR_S, invoicing.invoices),
    Job(
        "dunning", "overdue invoices: levels, penalties, promises to pay", HOUR_S, dunning.dunning
    ),
    Job("revenue", "what was charged in advance and is earned", HOUR_S, invoicing.revenue),
    Job("quotes", "quotes whose time is over", HOUR_S, invoicing.quotes),
    Job(
        "life-cycle",
        "accounts that expire, stop or are not used: alerts, bars",
        MINUTE_S,
        life_cycle.life_cycle,
    ),
    Job("reservations", "calls that no daemon will settle any more", 10 * MINUTE_S, proof.reservations),
    Job("books", "what `pbxbill verify` proves", DAY_S, proof.books),
)
