"""How far from the end of the money a call on a real Asterisk ends.

Calls that would never end by themselves run out of money: some alone on an account, some together on one,
renewed slice by slice; and some whose daemon is killed (-9) while they talk, before and after a renewal, so
that the switch's own timer must end them where their reservation ended. The money ends at answered_us +
granted_us of the rated CDR. The call ends where Asterisk's own CDR log says that the paid leg ended, to the
microsecond and whatever the daemon saw; and, as a second witness, when SIPp as the carrier got the BYE.
"""

from dataclasses import dataclass

from bench.figures import Figures, percentile, progress, run
from bench.switch_site import NUMBER, Slices, SwitchSite, open_switch_site
from lab.process import wait_until
from lab.sipp import Call, Calling, SippCaller
from lab.site import Phone
from pbxbill.ami.cdr_log import CdrLog
from pbxbill.charging.reconcile import SwitchRecord
from pbxbill.charging.verify import verify
from pbxbill.clock import SECOND_US, SystemClock
from pbxbill.store.driver import connect

ABOUT = "when calls on a real Asterisk end minus when their money ended"
GOAL_MS = 300
SLICES = Slices(slice_s=3, renew_before_s=1)
CALLS_PER_S = 20
PLENTY_BYTES = 10**9
CLOSED_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Group:
    """Calls of one kind; the name is what its phones, accounts and figures begin with."""

    name: str
    prefix: str
    """What its dialled numbers begin with, behind NUMBER."""
    calls: int
    shortest_s: int
    longest_s: int
    per_account: int = 1
    """How many calls share an account and its funds."""

    def account(self, index: int) -> str:
        """The account of the call at this place."""
        return f"{self.name}-{index // self.per_account}"

    def phones(self) -> list[Phone]:
        """One for each call, as SIPp counts them."""
        return [Phone(f"{self.name}{index + 1}", self.account(index)) for index in range(self.calls)]

    def funds_s(self) -> dict[str, int]:
        """What each account can pay: all lengths from the shortest to the longest, for each of its calls."""
        spread = self.longest_s - self.shortest_s + 1
        codes = dict.fromkeys(self.account(index) for index in range(self.calls))
        uneven = self.per_account > 1
        return {
            code: (self.shortest_s + place % spread) * self.per_account + uneven
            for place, code in enumerate(codes)
        }

    def place(self, site: SwitchSite) -> SippCaller:
        """Place all calls; they wait for the switch to hang up."""
        call = Call(
            f"{NUMBER}{self.prefix}",
            caller=self.name,
            calling=Calling.WAIT,
            count=self.calls,
            rate_per_s=CALLS_PER_S,
            numbered=True,
            own_phones=True,
        )
        return SippCaller(call, site.asterisk.sip_port, timeout_s=self.calls * self.longest_s + 60)

    def numbers(self) -> list[str]:
        """What its calls dialled."""
        return [f"{NUMBER}{self.prefix}{index + 1}" for index in range(self.calls)]


@dataclass(frozen=True, slots=True)
class Lateness:
    """One call's true end minus the end of its money; negative: it ended early."""

    by_switch_ms: float
    by_carrier_ms: float


def talk_until_cut(site: SwitchSite, groups: list[Group]) -> None:
    """The groups at once, with the daemon, until the last call has ended and is settled."""
    callers = [group.place(site) for group in groups]
    for caller in callers:
        with caller:
            caller.wait()
    site.wait_all_closed(CLOSED_TIMEOUT_S)


def talk_until_killed(site: SwitchSite, group: Group, talked_s: int) -> None:
    """Kill the daemon when the first call has talked so long, and start it again after the last one's end."""
    with group.place(site) as caller:
        wait_until(lambda: _answered(caller) == group.calls, 20, "answers")
        first_us = min(call.answered_us or 0 for call in caller.calls())
        now_us = SystemClock().now_us
        wait_until(lambda: now_us() >= first_us + talked_s * SECOND_US, talked_s + 5, "the moment to kill")
        site.daemon.kill()
        progress(
            f"{group.name}: killed with {sum(call.ended_us is None for call in caller.calls())} calls up"
        )
        caller.wait()
    site.daemon.start()
    site.wait_all_closed(CLOSED_TIMEOUT_S)


def _answered(caller: SippCaller) -> int:
    return sum(call.answered_us is not None for call in caller.calls())


def report(figures: Figures, site: SwitchSite, groups: list[Group]) -> None:
    """Compare what the CDRs granted with what the switch and the carrier saw."""
    late = {group: _lateness(site, group) for group in groups}
    for group, found in late.items():
        _add(figures, group.name, group.calls, found)
    daemon = [group for group in groups if not group.name.startswith("killed")]
    for name, part in (("with_daemon", daemon), ("killed", [g for g in groups if g not in daemon])):
        found = [one for group in part for one in late[group]]
        calls = sum(group.calls for group in part)
        _add(figures, f"all_{name}", calls, found)
        latest_ms = percentile([one.by_switch_ms for one in found], 99) if len(found) == calls else None
        figures.at_most(f"{name}.p99_ms", latest_ms, GOAL_MS)
    invariants = verify(connect(site.database_url), SystemClock())
    figures.add("verify", invariants=len(invariants), broken=sum(not one.holds for one in invariants))


def _lateness(site: SwitchSite, group: Group) -> list[Lateness]:
    cdrs = site.cdrs()
    ends = _ends_by_switch(site)
    carrier = {call.number: call.ended_us for call in site.carrier.calls()}
    found = []
    for number in group.numbers():
        cdr, bye_us = cdrs.get(number), carrier.get(number)
        record = None if cdr is None else ends.get(cdr.session_id)
        if cdr is None or cdr.answered_us is None or record is None or bye_us is None:
            progress(f"{number}: no complete record: {cdr=} {record=} {bye_us=}")
            continue
        money_ended_us = cdr.answered_us + cdr.granted_us
        found.append(
            Lateness(
                (record.ended_us - money_ended_us) / 1000,
                (bye_us - money_ended_us) / 1000,
            )
        )
    return found


def _ends_by_switch(site: SwitchSite) -> dict[str, SwitchRecord]:
    log = CdrLog(site.asterisk.cdr_log, backlog_bytes=PLENTY_BYTES)
    return {record.session_id: record for record in log.read()}


def _add(figures: Figures, row: str, calls: int, found: list[Lateness]) -> None:
    by_switch = [one.by_switch_ms for one in found]
    by_carrier = [one.by_carrier_ms for one in found]
    figures.add(
        row,
        calls=calls,
        measured=len(found),
        earliest_ms=min(by_switch, default=None),
        p50_ms=percentile(by_switch, 50),
        p99_ms=percentile(by_switch, 99),
        latest_ms=max(by_switch, default=None),
        carrier_p50_ms=percentile(by_carrier, 50),
        carrier_p99_ms=percentile(by_carrier, 99),
    )


def measure(figures: Figures, quick: bool) -> None:
    """With the daemon, then twice without."""
    calls, longest_s = (12, 8) if quick else (60, 20)
    alone = Group("alone", "100", calls, 2, longest_s)
    # Each gets its first slice before the account's money is short.
    together = Group("together", "200", calls, SLICES.slice_s, longest_s, per_account=4)
    killed_early = Group("killed_before_renewal", "300", calls, 2, 8)
    killed_late = Group("killed_after_renewal", "400", calls, 5, 12)
    groups = [alone, together, killed_early, killed_late]
    phones = [phone for group in groups for phone in group.phones()]
    funds_s = {code: seconds for group in groups for code, seconds in group.funds_s().items()}
    with open_switch_site(phones, funds_s, SLICES) as site:
        site.daemon.start()
        progress(f"{2 * calls} calls until their money ends")
        talk_until_cut(site, [alone, together])
        talk_until_killed(site, killed_early, talked_s=1)
        talk_until_killed(site, killed_late, talked_s=4)
        report(figures, site, groups)


if __name__ == "__main__":
    run("cutoff", ABOUT, measure)
