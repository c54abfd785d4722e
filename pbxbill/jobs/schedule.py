"""The jobs of an installation, in the order in which people are shown them."""

from pbxbill.jobs import balances, dunning, invoicing, life_cycle, notices, payments, points, proof, reports
from pbxbill.jobs.job import Job

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400

JOBS = (
    Job(
        "balances",
        "wallets that fell below a threshold, or were filled",
        1,
        balances.balances,
        waits=balances.balances_wait,
    ),
    Job(
        "auto-topups",
        "wallets that fill themselves from saved cards",
        2,
        balances.auto_top_ups,
        waits=balances.auto_top_ups_wait,
    ),
    Job("payments", "gateways asked about payments that they did not tell of", 15, payments.polling),
    Job("cards", "saved cards that expire soon", 6 * HOUR_S, payments.cards),
    Job("old-payment-webhooks", "what gateways sent long ago is forgotten", DAY_S, payments.old_webhooks),
    Job("renewals", "charges of subscriptions, planned changes", MINUTE_S, invoicing.renewals),
    Job("invoices", "billing runs: invoices of periods that are over, sent", 6 * HOUR_S, invoicing.invoices),
    Job("dunning", "overdue invoices: levels, penalties, promises to pay", HOUR_S, dunning.dunning),
    Job("revenue", "what was charged in advance and is earned", HOUR_S, invoicing.revenue),
    Job("quotes", "quotes whose time is over", HOUR_S, invoicing.quotes),
    Job(
        "life-cycle",
        "accounts that expire, stop or are not used: alerts, bars",
        MINUTE_S,
        life_cycle.life_cycle,
    ),
    Job("notices", "alerts that somebody is told of, digests", 5, notices.notices),
    Job("mail", "messages of the outbox", 2, notices.mail, waits=notices.mail_waits),
    Job("webhooks", "notices posted to programs", 1, notices.webhooks, waits=notices.webhooks_wait),
    Job("watch", "switches and carriers that are lost", 30, notices.watch),
    Job("old-deliveries", "webhooks of long ago are forgotten", DAY_S, notices.purging),
    Job("points", "points for what was used up to a day ago", DAY_S, points.usage),
    Job("points-expiry", "points whose time is over, and those who are told before", HOUR_S, points.expiry),
    Job("referrals", "points for those who brought others", MINUTE_S, points.referrals),
    Job("guesses", "wrong codes and PINs of long ago are forgiven", DAY_S, points.guesses),
    Job("reservations", "calls that no daemon will settle any more", 10 * MINUTE_S, proof.reservations),
    Job("books", "what `pbxbill verify` proves", DAY_S, proof.books),
    Job("roll-ups", "sums of calls that reports are read from", 5 * MINUTE_S, reports.rollups),
    Job("reports", "reports that somebody waits for", 2, reports.reports, waits=reports.reports_wait),
    Job("scheduled-reports", "reports that make themselves; old files", 5 * MINUTE_S, reports.scheduled),
)
