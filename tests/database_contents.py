"""What a test finds in its fresh database: made once in a run, then copied (tests/conftest.py)."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pbxbill.store.engine import migrate


@dataclass(frozen=True, slots=True)
class Contents:
    """A name, and what fills a database that has the newest schema and nothing else."""

    name: str
    fill: Callable[[str], object] | None = None


NOTHING = Contents("schema")


def sqlite_template(files: Path, contents: Contents) -> Path:
    """The SQLite file that has these contents, among those of a run: to be copied."""
    schema, template = files / "schema.db", files / f"{contents.name}.db"
    if not schema.exists():
        migrate(f"sqlite:///{schema}")
    if contents.fill is not None and not template.exists():
        filling = Path(shutil.copy(schema, template.with_suffix(".filling")))
        contents.fill(f"sqlite:///{filling}")
        filling.rename(template)
    return template
