"""Lists of what happens without money: invoices in dunning, steps that were done, promises, disputes."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.dunning.dunning_policy import Action
from pbxbill.listing.invoices import ISSUER
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    at_least,
    below,
    contains,
    equals,
)
from pbxbill.store.dunning_models import DunningPolicyRow, DunningStateRow, DunningStepRow, PromiseToPayRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow

ACTIONS: tuple[tuple[str, str], ...] = (
    (Action.REMIND, N_("Reminder")),
    (Action.FEE, N_("Fee")),
    (Action.BAR_OUTGOING, N_("Calls to the outside barred")),
    (Action.SUSPEND, N_("Suspended")),
    (Action.TERMINATE, N_("Closed")),
    (Action.COLLECTION, N_("For collection")),
)


def _states(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            InvoiceRow.id.label("id"),
            InvoiceRow.number.label("number"),
            AccountRow.code.label("account"),
            (InvoiceRow.open - InvoiceRow.disputed).label("overdue"),
            InvoiceRow.unit.label("unit"),
            InvoiceRow.due_us.label("due_us"),
            DunningStateRow.level.label("level"),
            DunningStateRow.since_us.label("since_us"),
            DunningStateRow.next_us.label("next_us"),
            *ISSUER,
        )
        .join(InvoiceRow, InvoiceRow.id == DunningStateRow.invoice_id)
        .join(AccountRow, AccountRow.id == DunningStateRow.account_id)
        .where(scope.among(DunningStateRow.account_id))
    )


def _steps(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            DunningStepRow.id.label("id"),
            DunningStepRow.at_us.label("at_us"),
            InvoiceRow.id.label("invoice_id"),
            InvoiceRow.number.label("number"),
            AccountRow.code.label("account"),
            DunningStepRow.level.label("level"),
            DunningStepRow.action.label("action"),
            DunningStepRow.open.label("overdue"),
            InvoiceRow.unit.label("unit"),
            DunningStepRow.detail.label("detail"),
            DunningPolicyRow.name.label("policy"),
            DunningStepRow.policy_version.label("version"),
            DunningStepRow.ended_us.label("ended_us"),
            *ISSUER,
        )
        .join(InvoiceRow, InvoiceRow.id == DunningStepRow.invoice_id)
        .join(AccountRow, AccountRow.id == InvoiceRow.account_id)
        .join(DunningPolicyRow, DunningPolicyRow.id == DunningStepRow.policy_id)
        .where(scope.among(InvoiceRow.account_id))
    )


def _promises(_session: Session, scope: Scope) -> Rows:
    row = PromiseToPayRow
    return (
        select(
            row.id.label("id"),
            AccountRow.code.label("account"),
            InvoiceRow.number.label("number"),
            row.amount.label("amount"),
            row.unit.label("unit"),
            row.until_us.label("until_us"),
            row.state.label("state"),
            row.made_us.label("made_us"),
            row.remark.label("remark"),
            row.by.label("by"),
        )
        .join(AccountRow, AccountRow.id == row.account_id)
        .outerjoin(InvoiceRow, InvoiceRow.id == row.invoice_id)
        .where(scope.among(row.account_id))
    )


def _disputes(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            InvoiceRow.id.label("id"),
            InvoiceRow.number.label("number"),
            AccountRow.code.label("account"),
            InvoiceRow.disputed.label("disputed"),
            InvoiceRow.open.label("open"),
            InvoiceRow.unit.label("unit"),
            InvoiceRow.disputed_us.label("disputed_us"),
            InvoiceRow.due_us.label("due_us"),
            *ISSUER,
        )
        .join(AccountRow, AccountRow.id == InvoiceRow.account_id)
        .where(scope.among(InvoiceRow.account_id), InvoiceRow.disputed_us.is_not(None))
    )


IN_DUNNING = Listing(
    name="dunning",
    title=N_("Dunning"),
    permission=Permission.DUNNING_READ,
    columns=(
        Column("number", N_("Invoice"), ColumnKind.CODE),
        Column("issuer", N_("Issuer"), ColumnKind.CODE),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("overdue", N_("Overdue"), ColumnKind.MONEY),
        Column("due_us", N_("Due on"), ColumnKind.DAY),
        Column("level", N_("Level"), ColumnKind.COUNT),
        Column("since_us", N_("Reached"), ColumnKind.DAY, wide=True),
        Column("next_us", N_("Looked at next"), ColumnKind.MOMENT, wide=True),
    ),
    rows=_states,
    orders=(
        Order("newest", N_("Newest first"), InvoiceRow.id, InvoiceRow.id, descending=True),
        Order("oldest", N_("Oldest first"), InvoiceRow.id, InvoiceRow.id),
        Order("level", N_("Highest level first"), DunningStateRow.level, InvoiceRow.id, descending=True),
    ),
    filters=(
        Filter("q", N_("Number of the invoice"), contains(InvoiceRow.number)),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter("level", N_("Level"), equals(DunningStateRow.level), FilterKind.NUMBER),
        Filter("unit", N_("Unit"), equals(InvoiceRow.unit)),
    ),
)

STEPS = Listing(
    name="dunning-steps",
    title=N_("Dunning steps"),
    permission=Permission.DUNNING_READ,
    columns=(
        Column("at_us", N_("When"), ColumnKind.MOMENT),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("number", N_("Invoice"), ColumnKind.CODE),
        Column("issuer", N_("Issuer"), ColumnKind.CODE),
        Column("level", N_("Level"), ColumnKind.COUNT),
        Column("action", N_("What"), ColumnKind.STATE),
        Column("overdue", N_("Overdue then"), ColumnKind.MONEY),
        Column("detail", N_("What was done"), ColumnKind.SENTENCE, wide=True),
        Column("policy", N_("Policy"), wide=True),
        Column("ended_us", N_("Lifted"), ColumnKind.DAY, wide=True),
    ),
    rows=_steps,
    orders=(
        Order("newest", N_("Newest first"), DunningStepRow.id, DunningStepRow.id, descending=True),
        Order("oldest", N_("Oldest first"), DunningStepRow.id, DunningStepRow.id),
    ),
    filters=(
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter("q", N_("Number of the invoice"), contains(InvoiceRow.number)),
        Filter("action", N_("What"), equals(DunningStepRow.action), FilterKind.CHOICE, ACTIONS),
        Filter("from", N_("From"), at_least(DunningStepRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(DunningStepRow.at_us), FilterKind.DAY, next_day=True),
    ),
)

PROMISES = Listing(
    name="promises",
    title=N_("Promises to pay"),
    permission=Permission.DUNNING_READ,
    columns=(
        Column("made_us", N_("Made"), ColumnKind.DAY),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("number", N_("Invoice"), ColumnKind.CODE),
        Column("amount", N_("Amount"), ColumnKind.MONEY),
        Column("until_us", N_("Until"), ColumnKind.DAY),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("remark", N_("Remark"), wide=True),
        Column("by", N_("By"), wide=True),
    ),
    rows=_promises,
    orders=(
        Order("newest", N_("Newest first"), PromiseToPayRow.id, PromiseToPayRow.id, descending=True),
        Order("until", N_("By their day"), PromiseToPayRow.until_us, PromiseToPayRow.id),
    ),
    filters=(
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter(
            "state",
            N_("State"),
            equals(PromiseToPayRow.state),
            FilterKind.CHOICE,
            (
                ("open", N_("Open")),
                ("kept", N_("Kept")),
                ("broken", N_("Broken")),
                ("withdrawn", N_("Withdrawn")),
            ),
        ),
        Filter("from", N_("Until, from"), at_least(PromiseToPayRow.until_us), FilterKind.DAY),
        Filter("to", N_("Until, to"), below(PromiseToPayRow.until_us), FilterKind.DAY, next_day=True),
    ),
)

DISPUTES = Listing(
    name="disputes",
    title=N_("Disputes"),
    permission=Permission.DUNNING_READ,
    columns=(
        Column("number", N_("Invoice"), ColumnKind.CODE),
        Column("issuer", N_("Issuer"), ColumnKind.CODE),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("disputed", N_("Disputed"), ColumnKind.MONEY),
        Column("open", N_("Open in all"), ColumnKind.MONEY),
        Column("disputed_us", N_("Since"), ColumnKind.DAY),
        Column("due_us", N_("Due on"), ColumnKind.DAY, wide=True),
    ),
    rows=_disputes,
    orders=(
        Order("oldest", N_("Oldest first"), InvoiceRow.disputed_us, InvoiceRow.id),
        Order("newest", N_("Newest first"), InvoiceRow.disputed_us, InvoiceRow.id, descending=True),
    ),
    filters=(
        Filter("q", N_("Number of the invoice"), contains(InvoiceRow.number)),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter("from", N_("Since, from"), at_least(InvoiceRow.disputed_us), FilterKind.DAY),
        Filter("to", N_("Since, to"), below(InvoiceRow.disputed_us), FilterKind.DAY, next_day=True),
    ),
)
