"""Charges: made by subscriptions, or by hand; taken back while no invoice shows them."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.charge import ChargeKind, Collection
from pbxbill.billing.subscriptions.charges_by_hand import HandCharge, add_charge, withdraw_charge
from pbxbill.listing.charges import CHARGES
from pbxbill.money import Unit, parse_amount
from pbxbill.store.billing_models import ChargeRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Sent, SentMoney, left_out
from pbxbill.web.api.listed import declare_file, declare_item, declare_list
from pbxbill.web.api.objects import SentMoment, at_us, billed_account, conflicts, field, found, wrong
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs

TAG = "Charges"
QUANTITY = Unit("", 6, 0)
Reason = Annotated[Line, StringConstraints(min_length=1, max_length=200)]


class ChargePath(Sent):
    """A charge, by its id."""

    charge_id: Id


class NewCharge(Sent):
    """A charge by hand."""

    description: Annotated[Line, StringConstraints(min_length=1, max_length=200)] = Field(
        description="The customer reads it."
    )
    unit_price: SentMoney = Field(description="Above zero, of a credit too; without tax.")
    quantity: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$")] = "1"
    kind: Literal["one_time", "credit"] = Field(
        default="one_time", description="credit: it is given back to the account."
    )
    collection: Literal["wallet", "invoice"] = Field(
        default="invoice", description="Taken from the wallet now, or asked for by an invoice."
    )
    product_class: Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,31}$")] = "service"
    at: SentMoment = left_out("It comes on the invoice whose period this lies in. Default: now.")
    reason: Reason = Field(description="Kept with it.")


class Withdrawal(Sent):
    """Why a charge is taken back."""

    reason: Reason


def charges(api: Api) -> None:
    """Charges of accounts in scope."""
    front = api.front
    types = declare_list(api, "/charges", CHARGES, TAG)
    declare_file(api, "/charges.csv", CHARGES, TAG)
    declare_item(api, "/charges/<int:charge_id>", types, TAG, "get_charge", "One charge.")

    @api.post("/accounts/<int:account_id>/charges", types.item, TAG)
    @needs(Permission.INVOICES_WRITE)
    def add_a_charge(path: AccountPath, body: NewCharge) -> Answer:
        """Charge an account, or give it back. 409: its wallet cannot pay."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("charge.add", code, account_id=path.account_id) as change:
            session = change.session
            account = billed_account(front, session, path.account_id)
            with field("unit_price"):
                price, unit = body.unit_price.of(session)
            if price <= 0:
                raise wrong("unit_price.amount", "must be more than zero")
            quantity = parse_amount(body.quantity, QUANTITY)
            if quantity <= 0:
                raise wrong("quantity", "must be more than zero")
            charge = HandCharge(
                body.description,
                unit.code,
                price,
                body.reason,
                ChargeKind(body.kind),
                quantity,
                body.product_class,
                Collection(body.collection),
                at_us(body.at),
                change.key,
                front.actor.name,
            )
            row = add_charge(session, change.books, account, charge, change.now_us)
            return change.done(types.shown(session, front.scope, row.id), 201)

    @api.post("/charges/<int:charge_id>/withdrawal", types.item, TAG)
    @needs(Permission.INVOICES_WRITE)
    def withdraw_a_charge(path: ChargePath, body: Withdrawal) -> Answer:
        """Take a charge back; what the wallet gave comes back. 409: an invoice shows it."""

        def seen(session: Session) -> ChargeRow:
            return found(session, ChargeRow, path.charge_id, front.scope.among(ChargeRow.account_id))

        with front.reading() as session:
            account = billed_account(front, session, seen(session).account_id)
        with api.writing("charge.withdraw", account.code, account_id=account.id) as change:
            seen(change.session)
            with conflicts():
                row = withdraw_charge(
                    change.session,
                    change.books,
                    path.charge_id,
                    body.reason,
                    change.now_us,
                    front.actor.name,
                )
            return change.done(types.shown(change.session, front.scope, row.id), 201)
