"""What requests work with: a gateway desk each, kept from request to request, for one thread at a time."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from queue import Empty, LifoQueue
from urllib.parse import urlsplit

from pbxbill.app import Application, open_desk
from pbxbill.billing.payments.gateway_payments import GatewayDesk
from pbxbill.billing.payments.payment_gateways import OpenGateway
from pbxbill.listing.live_calls import LiveBoard
from pbxbill.web.later import Later


class Desks:
    """Opened when they are first needed: the one that was used last knows the catalogue already."""

    def __init__(
        self, application: Application, *, public_url: str = "", opened: OpenGateway | None = None
    ) -> None:
        self.application = application
        self.live = LiveBoard(application.database, application.clock)
        """What live calls cost now, for all that show them."""
        self.later = Later()
        """What nobody waits for."""
        self.public_url = public_url.rstrip("/")
        self._opened = opened
        self._free: LifoQueue[GatewayDesk] = LifoQueue()
        self._open = ExitStack()
        # SQLite lets one write, and lets others wait by trying again: threads that queue here starve nobody.
        is_sqlite = application.database.dialect.name == "sqlite"
        self._turn = threading.Lock() if is_sqlite else None

    @property
    def public_host(self) -> str:
        """The name by which people reach us; empty where nobody said it."""
        return urlsplit(self.public_url).hostname or ""

    @contextmanager
    def desk(self) -> Iterator[GatewayDesk]:
        """One for the caller alone. There are never more than threads."""
        try:
            desk = self._free.get_nowait()
        except Empty:
            made = open_desk(
                self.application, public_url=self.public_url, opened=self._opened, turn=self._turn
            )
            desk = self._open.enter_context(made)
        try:
            yield desk
        finally:
            self._free.put(desk)

    def close(self) -> None:
        """Let go of all."""
        self.later.close()
        self._open.close()
