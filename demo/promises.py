"""What must be true when the calls are over, each with the evidence that it is."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from demo import site
from demo.performance import Played, failed
from demo.product import Product
from demo.promise import Promise
from demo.rated_promises import examine_rating
from demo.script import EMERGENCY, Outcome
from demo.stage import Stage

CUT_WITHIN_US = 300_000
"""How far from the end of the money a call may really end."""
INCREMENT_COST = Decimal("0.0119")
"""A second in Morocco with tax, rounded up."""


def examine(played: list[Played], product: Product, stage: Stage, evening_us: int) -> Iterator[Promise]:
    """Compare what the callers saw with what the product says; evening_us: when the calendar's began."""
    cdrs: list[dict[str, Any]] = product.json("cdrs", "--limit", "10000")
    accounts = {account["code"]: account["wallets"][0] for account in product.json("accounts", "list")}

    wrong = [f"{each.scene.title}: {each.result.log[-300:]}" for each in played if failed(each)]
    calls = sum(each.scene.call.count for each in played)
    yield Promise("every call went as the script says", not wrong, "; ".join(wrong) or f"{calls} calls")

    expected = _expected_charges(played)
    charged = Counter(cdr["account"] for cdr in cdrs if cdr["answered"] and cdr["total"] is not None)
    yield Promise(
        "each answered call is charged once, to its account", charged == expected, _counted(charged, expected)
    )

    denied = Counter(cdr["denial"] for cdr in cdrs if cdr["denial"] is not None)
    planned = Counter(each.scene.denial for each in played if each.scene.outcome is Outcome.DENIED)
    yield Promise(
        "what was denied has a record and its own reason", denied == planned, ", ".join(sorted(denied))
    )

    overspent = [code for code, wallet in accounts.items() if Decimal(wallet["available"]) < 0]
    yield Promise(
        "no account spent more than its funds and credit", not overspent, ", ".join(overspent) or "none did"
    )

    held = [code for code, wallet in accounts.items() if Decimal(wallet["reserved"]) != 0]
    legs = stage.channels()
    yield Promise(
        "nothing stays reserved, no leg stays up", not held and legs == 0, f"{len(held)} wallets, {legs} legs"
    )

    yield from _of_the_end_of_money(played, cdrs, accounts)
    yield _of_help(cdrs, accounts)
    yield from examine_rating(product, cdrs, evening_us)
    yield _of_the_alert(product)
    proof = product.program("verify")
    yield Promise("pbxbill verify: the books balance", proof.returncode == 0, f"exit {proof.returncode}")


def _of_the_end_of_money(
    played: list[Played], cdrs: list[dict[str, Any]], accounts: dict[str, dict[str, str]]
) -> Iterator[Promise]:
    cut = [each for each in played if each.scene.outcome is Outcome.CUT]
    for each in cut:
        left = Decimal(accounts[each.scene.account]["available"])
        most = INCREMENT_COST * each.scene.call.count
        text = f"{each.scene.account}: money to the last increment"
        yield Promise(text, 0 <= left < most, f"{left} left")
    late = [
        abs(talked - charged)
        for each in cut
        for talked, charged in zip(_talked_us(each), _charged_us(cdrs, each.scene.account), strict=False)
    ]
    worst_ms = max(late, default=0) // 1000
    kept = bool(late) and max(late) <= CUT_WITHIN_US
    yield Promise("the switch cut them when the money ended", kept, f"{worst_ms} ms at most")
    for each in cut:
        if each.scene.topup is not None:
            talked_s = max(_talked_us(each), default=0) // 1_000_000
            yield Promise("a top-up in the middle made a call longer", each.topped_up, f"{talked_s} s in all")


def _of_help(cdrs: list[dict[str, Any]], accounts: dict[str, dict[str, str]]) -> Promise:
    left = accounts[site.FAY.code]["available"]
    costs = [cdr["total"] for cdr in cdrs if cdr["dialled"] == EMERGENCY and cdr["answered"]]
    kept = Decimal(left) == Decimal(site.FAY.funds) and costs == [None]
    return Promise(f"{EMERGENCY} passes without funds and is free", kept, f"{left} left, as before")


def _of_the_alert(product: Product) -> Promise:
    alerts = product.json("alerts", "--account", site.CHEN.code)
    kinds = [alert["kind"] for alert in alerts]
    kept = kinds == ["simultaneous_calls"]
    return Promise("the limit that was hit is told", kept, ", ".join(kinds) or "no alert")


def _talked_us(played: Played) -> list[int]:
    return sorted(call.talked_us for call in played.result.calls if call.talked_us is not None)


def _charged_us(cdrs: list[dict[str, Any]], account: str) -> list[int]:
    return sorted(
        int(Decimal(cdr["seconds"]) * 1_000_000)
        for cdr in cdrs
        if cdr["account"] == account and cdr["answered"]
    )


def _expected_charges(played: list[Played]) -> Counter[str]:
    expected: Counter[str] = Counter()
    for each in played:
        if each.scene.outcome in {Outcome.TALKED, Outcome.CUT}:
            expected[each.scene.account] += each.scene.call.count * each.scene.charges
    return expected


def _counted(found: Counter[str], expected: Counter[str]) -> str:
    if found == expected:
        return f"{found.total()} charges"
    accounts = sorted(found.keys() | expected.keys())
    return ", ".join(
        f"{code} {found[code]} of {expected[code]}" for code in accounts if found[code] != expected[code]
    )
