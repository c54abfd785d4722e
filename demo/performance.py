"""Plays the script: starts each caller at its time, tops up in between, and shows what is going on."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demo.product import Product
from demo.script import Outcome, Scene
from demo.stage import Stage
from lab.sipp import SippCaller, SippResult

TICK_S = 0.25
SLOWEST_END_S = 45
"""How long after the last planned moment a call may still be up before the run is given up."""


@dataclass(frozen=True, slots=True)
class Played:
    """A scene and how it went."""

    scene: Scene
    result: SippResult
    topped_up: bool


class _Playing:
    """A scene that has begun."""

    def __init__(self, scene: Scene, caller: SippCaller) -> None:
        self.scene = scene
        self.caller = caller
        self.topped_up = False

    def topup_is_due(self, now_us: int) -> bool:
        """Whether its money should arrive now: so long after the answer."""
        topup = self.scene.topup
        if topup is None or self.topped_up:
            return False
        answers = [call.answered_us for call in self.caller.calls() if call.answered_us is not None]
        return bool(answers) and now_us >= answers[0] + int(topup.after_s * 1_000_000)


def play(
    scenes: list[Scene],
    stage: Stage,
    product: Product,
    directory: Path,
    show: Callable[[float], None],
) -> list[Played]:
    """Play all scenes; show is called about once a second with the seconds since the start."""
    waiting = sorted(scenes, key=lambda scene: scene.at_s)
    playing: list[_Playing] = []
    begin_s = time.monotonic()
    give_up_s = waiting[-1].at_s + SLOWEST_END_S
    shown_s = -1
    try:
        while waiting or any(each.caller.running() for each in playing):
            now_s = time.monotonic() - begin_s
            while waiting and waiting[0].at_s <= now_s:
                scene = waiting.pop(0)
                port = stage.switch.carrier_port if scene.from_carrier else stage.switch.sip_port
                timeout_s = give_up_s - now_s + 5
                playing.append(_Playing(scene, SippCaller(scene.call, port, directory, timeout_s=timeout_s)))
            for each in playing:
                if each.topup_is_due(time.time_ns() // 1000):
                    _top_up(each, product)
            if int(now_s) > shown_s:
                shown_s = int(now_s)
                show(now_s)
            if now_s > give_up_s:
                break
            time.sleep(TICK_S)
        return [Played(each.scene, each.caller.wait(1), each.topped_up) for each in playing]
    finally:
        for each in playing:
            each.caller.kill()


def _top_up(playing: _Playing, product: Product) -> None:
    topup = playing.scene.topup
    if topup is not None:
        # Not as a process of its own: on a busy machine that would begin when the money has ended.
        product.command("topup", playing.scene.account, topup.amount, "--memo", "in the middle of a call")
        playing.topped_up = True


def failed(played: Played) -> bool:
    """Whether a caller saw something other than the script says."""
    return played.result.failed > 0 or (
        played.scene.outcome is Outcome.CUT and any(call.ended_here for call in played.result.calls)
    )
