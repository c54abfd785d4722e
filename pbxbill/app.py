"""The composition root: builds what a process works with, and takes it down again in order.

Nothing is built at import. A short command opens the database and perhaps the charging engine; a daemon
opens both, the news of wallets and the lease of its switch.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.reconcile import Reconciler
from pbxbill.clock import Clock, SystemClock
from pbxbill.errors import ConfigurationError, StoreUnavailable
from pbxbill.store.driver import Driver, connect
from pbxbill.store.engine import moving_money, open_engine, pending_revision, reading, transaction
from pbxbill.store.lease import SwitchLease
from pbxbill.store.live import WalletNews, open_news
from pbxbill.store.models import CatalogueRow
from pbxbill.store.sealed import SecretKeeper, seal_with

if TYPE_CHECKING:
    from pbxbill.billing.payments.gateway_payments import GatewayDesk
    from pbxbill.billing.payments.payment_gateways import OpenGateway


@dataclass(frozen=True, slots=True)
class Application:
    """The parts that every process has: where the database is, and what time it is."""

    database_url: str
    redis_url: str | None
    clock: Clock
    database: Engine
    """For everything but the charging path."""

    def connect(self) -> Driver:
        """A connection for the charging path."""
        return connect(self.database_url)


@dataclass(frozen=True, slots=True)
class Charging:
    """The running charging engine of this process and what belongs to it."""

    engine: ChargingEngine
    news: WalletNews
    reconciler: Reconciler


@contextmanager
def open_application(
    database_url: str,
    redis_url: str | None = None,
    clock: Clock | None = None,
    *,
    keeper: SecretKeeper | None = None,
    plan_each: bool = False,
) -> Iterator[Application]:
    """Open the database; ConfigurationError if it has not been set up by `pbxbill init`. keeper: what seals
    the secrets in it; plan_each: as of open_engine()."""
    _refuse_missing_file(database_url)
    database = open_engine(database_url, plan_each=plan_each)
    if keeper is not None:
        seal_with(database, keeper)
    try:
        _refuse_old_schema(database)
        yield Application(database_url, redis_url, clock or SystemClock(), database)
    finally:
        database.dispose()


@contextmanager
def open_charging(application: Application, *, listen: bool = False) -> Iterator[Charging]:
    """Start the charging engine; listen: also hear what other processes did to wallets."""
    news = open_news(application.connect, application.redis_url)
    engine = ChargingEngine(application.connect, application.clock, news.publish, serving=listen)
    engine.start()
    try:
        if listen:
            news.start()
        yield Charging(engine, news, Reconciler(engine, application.connect, application.clock))
    finally:
        engine.stop()
        news.stop()


@contextmanager
def open_books(application: Application) -> Iterator[Bookkeeper]:
    """What posts the entries of billing, and tells the other processes of wallets that it changed."""
    news = open_news(application.connect, application.redis_url)
    try:
        yield Bookkeeper(application.connect, application.clock, news.publish)
    finally:
        news.stop()


@contextmanager
def billing(application: Application) -> Iterator[tuple[Session, Bookkeeper]]:
    """One transaction in which rows change and money moves; live calls hear of it after the commit."""
    with open_books(application) as books:
        with transaction(moving_money(application.database)) as session:
            yield session, books
        books.announce()


@contextmanager
def open_desk(
    application: Application,
    *,
    public_url: str = "",
    opened: "OpenGateway | None" = None,
    turn: AbstractContextManager[object] | None = None,
) -> Iterator["GatewayDesk"]:
    """What takes payments through gateways; for one thread. opened: instead of those of the services; turn:
    what threads of this process that write at once take first."""
    # Daemons that steer calls need none of it.
    from pbxbill.billing.payments.gateway_payments import GatewayDesk
    from pbxbill.billing.payments.payment_gateways import open_gateway

    with open_books(application) as books:
        yield GatewayDesk(
            application.database,
            books,
            application.clock,
            opened=opened or open_gateway,
            public_url=public_url,
            turn=turn,
        )


@contextmanager
def steering(application: Application, switch: str, lost: Callable[[], None]) -> Iterator[None]:
    """Hold the lease of a switch; AlreadyRunning while another daemon steers it."""
    lease = SwitchLease(application.database, switch, application.clock)
    lease.acquire()
    lease.keep(lost)
    try:
        yield
    finally:
        lease.release()


def _refuse_missing_file(database_url: str) -> None:
    # SQLite would make an empty file, and the message would speak of missing tables.
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise ConfigurationError(f"there is no database {url.database}; `pbxbill init` makes it")


def _refuse_old_schema(database: Engine) -> None:
    is_set_up = False
    try:
        revision = pending_revision(database)
        if revision is None:
            with reading(database).connect() as connection:
                is_set_up = connection.execute(select(CatalogueRow.id)).first() is not None
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"the database cannot be opened: {getattr(error, 'orig', error)}") from None
    if revision is not None:
        raise ConfigurationError("the database's schema is not up to date; run `pbxbill init`")
    if not is_set_up:
        raise ConfigurationError("the database holds no operator yet; run `pbxbill init`")
