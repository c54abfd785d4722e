"""Alerts: what somebody should know of. Who sells sees those of his accounts."""

from pydantic import BaseModel
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.alerts import ALERTS, alert_seen, may_mark, open_alerts
from pbxbill.store.alerts import mark, mark_done
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Sent
from pbxbill.web.api.listed import asked_by, declare_item, declare_list, filters_of
from pbxbill.web.api.objects import found
from pbxbill.web.api.operations import TAG
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import needs


class AlertPath(Sent):
    """An alert, by its id."""

    alert_id: Id


class AlertChange(Sent):
    """Whether somebody has dealt with it."""

    done: bool


class AlertsDone(BaseModel):
    """What is dealt with now."""

    alerts: int


AlertFilters = filters_of(ALERTS, "AlertFilters")


def alerts(api: Api) -> None:
    """Alerts: the operator's all of them, of others those of accounts below."""
    front = api.front
    types = declare_list(api, "/alerts", ALERTS, TAG)
    declare_item(api, "/alerts/<int:alert_id>", types, TAG, "get_alert", "One alert.")

    def seen(session: Session, id: int) -> AlertRow:
        return found(session, AlertRow, id, alert_seen(front.scope))

    @api.patch("/alerts/<int:alert_id>", types.item, TAG)
    @needs(Permission.NOTICES_WRITE)
    def change_alert(path: AlertPath, body: AlertChange) -> Answer:
        """Say that an alert is dealt with, or open it again.

        403: it is of the installation itself, which needs `operations:write`.
        """
        with front.reading() as session:
            account_id = seen(session, path.alert_id).account_id
        if not may_mark(front.actor, account_id):
            raise Refused(403, f"What is of no account needs {Permission.OPERATIONS_WRITE}.")
        action = "alert.done" if body.done else "alert.open"
        with api.writing(action, str(path.alert_id), account_id=account_id) as change:
            row = seen(change.session, path.alert_id)
            mark(row, front.actor.name, change.now_us, done=body.done)
            return change.done(types.shown(change.session, front.scope, row.id))

    @api.post("/alerts/completion", AlertsDone, TAG)
    @needs(Permission.NOTICES_WRITE)
    def finish_alerts(body: AlertFilters) -> Answer:  # type: ignore[valid-type]  # made of the list's filters
        """Say that all alerts are dealt with that filters leave, as far as the key may say so of each."""
        asked = asked_by(body)
        with api.writing("alert.done", "alerts") as change:
            ids = open_alerts(change.session, front.actor, asked)
            mark_done(change.session, ids, front.actor.name, change.now_us)
            return change.done(AlertsDone(alerts=len(ids)), 201)
