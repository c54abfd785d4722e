"""Runs Alembic's revisions on the database that store.engine names."""

from alembic import context
from sqlalchemy import event

from pbxbill.store import (  # noqa: F401 their tables register themselves
    access_models,
    billing_models,
    catalogue_models,
    dunning_models,
    earning_models,
    invoice_models,
    live_models,
    mediation_models,
    notice_models,
    payment_models,
    report_models,
    rerating_models,
    switch_models,
)
from pbxbill.store.engine import open_engine
from pbxbill.store.models import Base

engine = open_engine(context.config.attributes["url"])
if engine.dialect.name == "sqlite":
    # SQLite changes a table by writing it anew: what refers to it would be refused meanwhile.
    event.listen(engine, "connect", lambda connection, _record: connection.execute("PRAGMA foreign_keys=OFF"))
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
engine.dispose()
