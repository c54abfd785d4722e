"""Reports about calls: revenue, usage, destinations, top accounts, margin, quality, traffic by hour."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from pbxbill.listing.listing import N_, Column, ColumnKind
from pbxbill.reports.call_sums import GROUP_COLUMNS, X_OF, call_rows, counted, narrowed
from pbxbill.reports.other_charges import add_other
from pbxbill.reports.report import (
    ACCOUNT,
    BY_DAY,
    BY_HOUR,
    BY_MONTH,
    BY_WEEK,
    CARRIER,
    DESTINATION,
    FROM,
    PERIOD_NAMES,
    RESELLER,
    TO,
    Asked,
    Chart,
    Parameter,
    Report,
    Table,
    buckets_of,
    choice_of,
    seller_of,
)
from pbxbill.reports.sums import Sums, Wanted, add, read

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CUSTOMER = ("customer", N_("Customer"))
_RESELLER = ("reseller", N_("Reseller"))
_DESTINATION = ("destination", N_("Destination"))
_CARRIER = ("carrier", N_("Carrier"))
_RATE = ("rate", N_("Rate"))
_DIRECTION = ("direction", N_("Direction"))

CALLS = Column("calls", N_("Calls"), ColumnKind.COUNT)
DENIED = Column("denied", N_("Denied"), ColumnKind.COUNT, wide=True)
ANSWERED = Column("answered", N_("Answered"), ColumnKind.COUNT)
TALKED = Column("billed_s", N_("Talked"), ColumnKind.SECONDS)
BILLABLE = Column("billable_s", N_("Billable"), ColumnKind.SECONDS, wide=True)
CHARGED = Column("charges", N_("Charged calls"), ColumnKind.COUNT)
NET = Column("net", N_("Net"), ColumnKind.MONEY)
TAX = Column("tax", N_("Tax"), ColumnKind.MONEY, wide=True)
TOTAL = Column("total", N_("Total"), ColumnKind.MONEY)
COST = Column("cost", N_("Cost"), ColumnKind.MONEY)
MARGIN = Column("margin", N_("Margin"), ColumnKind.MONEY)
MARGIN_PPM = Column("margin_ppm", N_("Margin of net"), ColumnKind.PPM)
UNKNOWN = Column("unknown", N_("Cost not known"), ColumnKind.COUNT, wide=True)
ASR = Column("asr_ppm", N_("ASR"), ColumnKind.PPM)
ACD = Column("acd_s", N_("ACD"), ColumnKind.SECONDS)
PDD = Column("pdd_ms", N_("PDD (ms)"), ColumnKind.COUNT)
RUNG = Column("rung", N_("PDD known"), ColumnKind.COUNT, wide=True)
WAIT = Column("wait_s", N_("Time to answer"), ColumnKind.SECONDS)

EARLIER_RATE = N_("What re-rating corrected stands with the rate that a call was charged by first.")
OF_THOSE_KNOWN = N_(
    "PDD is the mean time from dialling until it rang, of the calls of which that is known, answered or not."
)
OWN_UNITS = N_("Charges and costs in different units stand in rows of their own; nothing is converted.")
FREE_OF_CALLS = N_("Other charges are without tax, by the day for which they were made.")
OF_NOTES = N_("Credit and debit notes count without tax, on the day on which they were issued.")


def _grouping(choices: tuple[tuple[str, str], ...]) -> Parameter:
    return Parameter("group", N_("By"), choices=choices)


def _simple(
    choices: tuple[tuple[str, str], ...],
    columns: tuple[Column, ...],
    *,
    order: str,
    series: tuple[str, ...],
    notes: tuple[str, ...] = (),
) -> Any:
    def make(session: Session, asked: Asked) -> Table:
        by = choice_of(asked, "group", choices)
        rows, totals, is_cut = call_rows(session, asked, by, order)
        said = (*notes, EARLIER_RATE) if by == "rate" else notes
        return Table((*GROUP_COLUMNS[by], *columns), rows, totals, _chart(by, series), said, is_cut)

    return make


def _chart(by: str, series: tuple[str, ...]) -> Chart:
    return Chart(
        "line" if by in PERIOD_NAMES else "bar", X_OF.get(by, by if by != "rate" else "prefix"), series
    )


REVENUE_GROUPS = (BY_DAY, BY_WEEK, BY_MONTH, _CUSTOMER, _RESELLER, _DESTINATION, _RATE, _CARRIER, _DIRECTION)
_OTHER_KNOWN = (*PERIOD_NAMES, "customer", "reseller")


def _revenue(session: Session, asked: Asked) -> Table:
    """What the seller's own customers were charged for calls, and beside it everything else."""
    by = choice_of(asked, "group", REVENUE_GROUPS)
    rows, totals, is_cut = call_rows(session, asked, by, "net")
    columns: tuple[Column, ...] = (CHARGED, NET, TAX, TOTAL)
    notes: tuple[str, ...] = (EARLIER_RATE,) if by == "rate" else ()
    with_other = by in _OTHER_KNOWN and not (asked.value("destination") or asked.value("carrier"))
    if with_other:
        add_other(session, asked, by, (rows, totals), is_cut=is_cut)
        other = Column("other", N_("Other charges"), ColumnKind.MONEY)
        given = Column("notes", N_("Credit and debit notes"), ColumnKind.MONEY)
        both = Column("income", N_("Net in all"), ColumnKind.MONEY)
        columns, notes = (CHARGED, NET, TAX, other, given, both), (*notes, FREE_OF_CALLS, OF_NOTES)
    chart = _chart(by, ("income",) if with_other else ("net",))
    return Table((*GROUP_COLUMNS[by], *columns), rows, totals, chart, notes, is_cut)


def _hours(session: Session, asked: Asked) -> Table:
    """Calls by the hour of the day at which they began, in the zone of the seller's books."""
    seller = seller_of(session, asked)
    buckets = buckets_of(asked, "hour")
    sums = [Sums() for _ in range(24)]
    zone = ZoneInfo(asked.days_zone)
    only, dimension, members = narrowed(session, asked, seller, "hour")
    wanted = Wanted(
        seller, dimension, buckets, only, members,
        by_member=False, is_page=asked.is_page, making=asked.making,
    )  # fmt: skip
    for each in read(session, wanted):
        at = _EPOCH + timedelta(microseconds=buckets[each.bucket][0])
        hour = at.astimezone(zone).hour
        sums[hour] = add(sums[hour], each.sums)
    rows = [{"hour": f"{hour:02d}:00", "unit": None} | counted(x) for hour, x in enumerate(sums)]
    whole = Sums()
    for each_hour in sums:
        whole = add(whole, each_hour)
    columns = (Column("hour", N_("Hour"), ColumnKind.CODE), CALLS, DENIED, ANSWERED, TALKED, ASR, ACD)
    return Table(columns, rows, [{"unit": None} | counted(whole)], Chart("bar", "hour", ("calls",)))


USAGE_GROUPS = (
    BY_DAY, BY_WEEK, BY_MONTH, BY_HOUR, _CUSTOMER, _RESELLER, _DESTINATION, _RATE, _CARRIER, _DIRECTION,
)  # fmt: skip
MARGIN_GROUPS = (_DESTINATION, _CARRIER, _CUSTOMER, _RESELLER, _RATE, _DIRECTION, BY_DAY, BY_WEEK, BY_MONTH)
CARRIER_GROUPS = (_CARRIER, _DESTINATION, _CUSTOMER, BY_DAY, BY_WEEK, BY_MONTH)
QUALITY_GROUPS = (
    _DESTINATION, _CARRIER, BY_DAY, BY_HOUR, BY_WEEK, BY_MONTH, _CUSTOMER, _RESELLER, _DIRECTION,
)  # fmt: skip
_DAYS = (FROM, TO)

CALL_REPORTS = (
    Report(
        "revenue",
        N_("Revenue"),
        N_("What customers were charged."),
        (*_DAYS, _grouping(REVENUE_GROUPS), RESELLER, ACCOUNT, DESTINATION, CARRIER),
        _revenue,
    ),
    Report(
        "usage",
        N_("Usage"),
        N_("Calls and how long they lasted."),
        (*_DAYS, _grouping(USAGE_GROUPS), RESELLER, ACCOUNT, DESTINATION, CARRIER),
        _simple(
            USAGE_GROUPS, (CALLS, DENIED, ANSWERED, TALKED, ACD), order="billed_us", series=("billed_s",)
        ),
    ),
    Report(
        "destinations",
        N_("Destinations"),
        N_("Where calls went, what they brought and cost."),
        (*_DAYS, RESELLER, ACCOUNT, CARRIER),
        _simple(
            (_DESTINATION,),
            (CALLS, ANSWERED, ASR, ACD, TALKED, NET, COST, MARGIN),
            order="billed_us",
            series=("net",),
            notes=(OWN_UNITS,),
        ),
    ),
    Report(
        "top-accounts",
        N_("Top accounts"),
        N_("Customers by what they were charged for calls."),
        (*_DAYS, RESELLER, DESTINATION, CARRIER),
        _simple((_CUSTOMER,), (CALLS, ANSWERED, TALKED, NET, TAX, TOTAL), order="total", series=("total",)),
    ),
    Report(
        "margin",
        N_("Margin"),
        N_("What calls brought and cost: by carriers for the operator, by his own charges for a reseller."),
        (*_DAYS, _grouping(MARGIN_GROUPS), RESELLER, ACCOUNT, DESTINATION, CARRIER),
        _simple(
            MARGIN_GROUPS,
            (ANSWERED, NET, COST, MARGIN, MARGIN_PPM, UNKNOWN),
            order="net",
            series=("margin",),
            notes=(OWN_UNITS,),
        ),
    ),
    Report(
        "quality",
        N_("ASR, ACD, PDD"),
        N_("How many calls are answered, how long they last, how soon it rings and how long callers wait."),
        (*_DAYS, _grouping(QUALITY_GROUPS), RESELLER, ACCOUNT,
         DESTINATION, CARRIER),
        _simple(
            QUALITY_GROUPS,
            (CALLS, DENIED, ANSWERED, ASR, ACD, RUNG, PDD, WAIT),
            order="calls",
            series=("asr_ppm",),
            notes=(OF_THOSE_KNOWN,),
        ),
    ),
    Report(
        "carriers",
        N_("Carriers: quality and margin"),
        N_("How many calls carriers complete and how long they last, what they ask, and what is left."),
        (*_DAYS, _grouping(CARRIER_GROUPS), CARRIER, DESTINATION, ACCOUNT),
        _simple(
            CARRIER_GROUPS,
            (CALLS, ANSWERED, ASR, ACD, RUNG, PDD, NET, COST, MARGIN, MARGIN_PPM, UNKNOWN),
            order="calls",
            series=("margin",),
            notes=(OF_THOSE_KNOWN, OWN_UNITS),
        ),
        operators=True,
    ),
    Report(
        "hours",
        N_("Traffic by hour"),
        N_("Calls by the hour of the day; at most 33 days at once."),
        (*_DAYS, RESELLER, ACCOUNT, DESTINATION, CARRIER),
        _hours,
    ),
)  # fmt: skip
