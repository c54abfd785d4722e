"""The whole product as its user has it, beside a real Asterisk, and a browser before it.

with opened_switch(install) as switch, opened_product(folder, switch, chromium_browser) as served:
    page = served.desk.page()
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser

from demo.panel import link_in
from demo.product import Product
from lab.asterisk import PrivateAsterisk
from lab.sipp import Answering, SippServer
from lab.site import Gateway, Phone
from tests.web.browsers import Desk

PHONE_CODE = "tel1"
"""The account code of the only telephone, as its switch says it."""
PASSWORD = "nine yellow submarines"


@dataclass(frozen=True, slots=True)
class Served:
    """One installation that `pbxbill run` serves."""

    product: Product
    switch: PrivateAsterisk
    desk: Desk
    link: str
    """What `pbxbill init` told the first administrator."""

    def program(self, *words: str) -> str:
        """What a command prints, called as in a terminal."""
        done = self.product.program(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def assert_in_order(self) -> None:
        """Every promise of the books holds."""
        lines = self.program("verify").splitlines()
        assert lines
        assert [x for x in lines if not x.startswith("ok ")] == []


@contextmanager
def opened_switch(install: Path) -> Iterator[PrivateAsterisk]:
    """Asterisk with one telephone and a carrier that answers."""
    with SippServer(Answering.ANSWER) as carrier:
        phones = [Phone("ann", PHONE_CODE)]
        gateways = [Gateway("world", carrier.port)]
        with PrivateAsterisk(phones=phones, gateways=gateways, install=install) as asterisk:
            yield asterisk


@contextmanager
def opened_product(directory: Path, switch: PrivateAsterisk, browser: Browser) -> Iterator[Served]:
    """An empty database, and all processes of `pbxbill run`."""
    product = Product(directory, switch)
    try:
        link = link_in(product.command("init"))
        product.start()
        desk = Desk(None, browser, product.web_url)  # type: ignore[arg-type]  # there is no office
        yield Served(product, switch, desk, link)
        desk.close()
    finally:
        code = product.stop()
    assert code == 0, product.log_end()
