"""Calls whose every command follows from a seed, so that another process can tell the same story again."""

import random

from pbxbill.charging.events import (
    Adjust,
    Answer,
    Authorize,
    Command,
    Direction,
    Extend,
    Settle,
    TopUp,
    Void,
)
from tests.store.billed_accounts import FRANCE, GERMANY

START_US = 1_767_225_600_000_000
SECOND_US = 1_000_000


def call(seed: int, number: int) -> list[Command]:
    """The commands of one call, in the order in which they must come."""
    chance = random.Random(seed * 1_000_003 + number)
    session_id = f"{seed:016x}{number:016x}"
    at_us = START_US + number * SECOND_US
    code = chance.choice(["alice", "bob", "hot", "carol"])
    dialled = chance.choice([GERMANY, FRANCE, "999"])
    request = Authorize(session_id, "s1", session_id, Direction.OUTBOUND, dialled, "", at_us, code)
    if chance.random() < 0.2:
        return [request, Void(session_id, at_us + SECOND_US, 17)]
    lasts_us = chance.randrange(1, 200 * SECOND_US)
    commands: list[Command] = [request, Answer(session_id, at_us, "leg")]
    commands += [
        Extend(session_id, n * 60 * SECOND_US, at_us) for n in range(2, 2 + lasts_us // (60 * SECOND_US))
    ]
    return [*commands, Settle(session_id, at_us, at_us + lasts_us, 16)]


def money(seed: int, number: int, ids: dict[str, int]) -> Command:
    """A top-up, or money given back."""
    chance = random.Random(seed * 7 + number)
    account_id = ids[chance.choice(["alice", "bob", "hot"])]
    at_us = START_US + number * SECOND_US
    key = f"money-{seed}-{number}"
    if chance.random() < 0.3:
        return Adjust(key, account_id, "EUR", -chance.randrange(1, 100_000), at_us)
    return TopUp(key, account_id, "EUR", chance.randrange(1, 2_000_000), at_us)


def story(seed: int, calls: int, ids: dict[str, int]) -> list[Command]:
    """All commands, those of simultaneous calls mixed, each call's own in order."""
    chance = random.Random(seed)
    told: list[Command] = [money(seed, number, ids) for number in range(10)]
    waiting = [call(seed, number) for number in range(calls)]
    live: list[list[Command]] = []
    while waiting or live:
        while waiting and len(live) < 40:
            live.append(waiting.pop(0))
        chosen = chance.choice(live)
        told.append(chosen.pop(0))
        if not chosen:
            live.remove(chosen)
        if chance.random() < 0.02:
            told.append(money(seed, len(told), ids))
    return told
