"""Switches: which daemons steer them, what they carry, and what trying them out finds."""

from pydantic import BaseModel, Field

from pbxbill.access.permissions import Permission
from pbxbill.listing.switches import SwitchNow, switches_now
from pbxbill.web.api.api import Api
from pbxbill.web.api.fields import Moment, moment_or_none
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import needs
from pbxbill.web.installation import KnownSwitch

TAG = "Operations"


class Switch(BaseModel):
    """One switch, as it is now."""

    name: str
    kind: str | None = Field(description="freeswitch, say; null: it is not configured any more.")
    address: str | None
    state: str = Field(description="ok, lost (its daemon is silent), off (none has steered it).")
    daemon: str = Field(description="Which one steers it.")
    heard: Moment | None = Field(description="When that last said so.")
    live_calls: int
    ended_calls: int = Field(description="In the last hour.")
    compared: Moment | None = Field(description="Last time that its calls were compared with ours.")
    differences: int = Field(description="Found in the last day.")


class Switches(BaseModel):
    """All of them."""

    items: list[Switch]


class Found(BaseModel):
    """What trying something out found."""

    check: str
    verdict: str = Field(description="ok, warn or fail.")
    detail: str
    remedy: str


class FoundAll(BaseModel):
    """What trying everything out found."""

    items: list[Found] = Field(description="What is wrong first.")


def switches(api: Api) -> None:
    """The operator's."""
    front = api.front
    installation = front.rules.installation

    @api.get("/switches", Switches, TAG)
    @needs(Permission.OPERATIONS_READ)
    def list_switches() -> Switches:
        """Switches that are configured, have a daemon, or carry calls."""
        if not front.scope.is_everything:
            raise Refused(403)
        known = {x.name: x for x in installation.switches}
        with front.reading() as session:
            found = switches_now(session, known, front.clock.now_us())
        return Switches(items=[_shown(x, known.get(x.name)) for x in found])

    @api.post("/switches/check", FoundAll, TAG, 200)
    @needs(Permission.OPERATIONS_READ)
    def check_switches() -> FoundAll:
        """Try out switches, databases and what else there is; it takes some seconds where one is silent.

        404: this process cannot.
        """
        if installation.diagnose is None or not front.scope.is_everything:
            raise Refused(404)
        found = sorted(installation.diagnose(), key=lambda x: ("fail", "warn", "ok").index(x.verdict))
        items = [Found(check=x.check, verdict=x.verdict, detail=x.detail, remedy=x.remedy) for x in found]
        return FoundAll(items=items)


def _shown(now: SwitchNow, known: KnownSwitch | None) -> Switch:
    return Switch(
        name=now.name,
        kind=None if known is None else known.kind,
        address=None if known is None else known.address,
        state=now.state,
        daemon=now.holder,
        heard=moment_or_none(now.renewed_us),
        live_calls=now.live,
        ended_calls=now.ended,
        compared=moment_or_none(now.compared_us),
        differences=now.differences,
    )
