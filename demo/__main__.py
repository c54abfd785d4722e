"""`python -m demo`, which `make demo` calls. Exit 0 if every promise held.

From the environment: DEMO_SECONDS (60), SWITCH (asterisk or freeswitch), FREESWITCH_BIN.
"""

import fcntl
import os
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from demo.dunning import dun, examine_dunning, offer_patience
from demo.filling import card_saved, examine_filling
from demo.invoicing import document_table, examine_invoices, invoice_everybody, offer_plans
from demo.panel import PanelVisit, link_in
from demo.performance import play
from demo.product import Product
from demo.promises import examine
from demo.rated_promises import by_time_cdr
from demo.screen import Screen, cdr_table
from demo.script import BY_TIME_AT_S, EMERGENCY, EVENING_AFTER_S, scenes
from demo.site import INES
from demo.stage import stage
from lab.process import ServerFailed, wait_until

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "demo"
SETTLED_WITHIN_S = 15
LONGEST_S = 3600


def main() -> int:
    """Set up, play, examine."""
    wanted = os.environ.get("DEMO_SECONDS") or "60"
    if not wanted.isdecimal() or int(wanted) > LONGEST_S:
        print(f"DEMO_SECONDS is a number up to {LONGEST_S}", file=sys.stderr)
        return 2
    seconds = int(wanted)
    kind = os.environ.get("SWITCH") or "asterisk"
    FOLDER.parent.mkdir(exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another demonstration is running in this folder", file=sys.stderr)
            return 1
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        try:
            return perform(kind, seconds)
        except ServerFailed as fault:
            print(f"demo: {fault}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130


def perform(kind: str, seconds: int) -> int:
    """The whole demonstration; 0 if every promise held."""
    screen = Screen()
    begin_s = time.monotonic()
    with ExitStack() as opened:
        on = opened.enter_context(stage(kind, FOLDER))
        screen.say(f"{on.version} with SIP on 127.0.0.1:{on.switch.sip_port}")
        product = Product(FOLDER, on.switch)
        product.set_up(seconds)
        offer_plans(product)
        offer_patience(product)
        product.start()
        try:
            stripe = opened.enter_context(card_saved(product))
            visit = PanelVisit(product)
            visit.log_in()
            screen.say(f"pbxbill serves; everything was up after {time.monotonic() - begin_s:.1f} s")
            screen.say(f"the panel: {product.web_url}, and the link that opens it once:")
            screen.say(f"  {link_in(product.told_at_first)}\n")

            def show(elapsed_s: float) -> None:
                calls = product.json("calls")
                screen.show_calls(calls, elapsed_s)
                visit.look(calls, elapsed_s)

            evening_us = (time.time_ns() // 10**9 + BY_TIME_AT_S + EVENING_AFTER_S) * 10**6
            product.begin_evening(evening_us)
            with screen:
                played = play(
                    scenes(seconds),
                    on,
                    product,
                    FOLDER,
                    show,
                )
            _wait_for_settlement(product)
            invoiced = invoice_everybody(product)
            _show(product, screen)
            screen.console.print(document_table(invoiced))
            promises = [*examine(played, product, on, evening_us), *examine_invoices(product, invoiced)]
            promises += examine_filling(product, stripe, played)
            promises += visit.examine()
        finally:
            stopped = product.stop()
        promises += examine_dunning(dun(product))
    for promise in promises:
        screen.say(f"{'kept  ' if promise.kept else 'BROKEN'}  {promise.text}: {promise.evidence}")
    screen.say(f"\nthe invoices are in {_from_here(invoiced.folder)}")
    commands = "cdrs | explain | margin | invoices list | limits list | web (the panel again)"
    screen.say(f"look around: .venv/bin/pbxbill --config {_from_here(product.config)} {commands}")
    if stopped != 0:
        screen.say(f"BROKEN  the daemon ended with {stopped}:\n{product.log_end()}")
    return 0 if stopped == 0 and all(promise.kept for promise in promises) else 1


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _show(product: Product, screen: Screen) -> None:
    """What an operator would look at when the calls are over."""
    cdrs = product.json("cdrs", "--limit", "1000")
    screen.console.print(cdr_table(cdrs))
    by_time = by_time_cdr(cdrs)
    commands: list[tuple[str, ...]] = [("explain", by_time["session_id"])] if by_time else []
    commands += [("bundles", "show", INES.code), ("margin",), ("alerts",)]
    for words in commands:
        screen.say(f"$ pbxbill {' '.join(words)}")
        screen.say(product.command(*words))
    screen.say(product.program("verify").stdout)


def _wait_for_settlement(product: Product) -> None:
    try:
        wait_until(lambda: product.json("calls") == [], SETTLED_WITHIN_S, "every call is settled")
        # It passed without a question; its record is made from the switch's own.
        help_of = ("cdrs", "--called", EMERGENCY)
        wait_until(lambda: product.json(*help_of) != [], SETTLED_WITHIN_S, "the call for help has a record")
    except ServerFailed:
        return  # the promises say so


if __name__ == "__main__":
    sys.exit(main())
