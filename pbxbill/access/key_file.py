"""The installation's key file, for whoever opens the database."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pbxbill.access.sealing import Sealer


class KeyFile:
    """The sealer of a key file, read when something is first sealed or opened: most commands need none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def sealer(self) -> "Sealer":
        """What it holds; ConfigurationError says what is wrong with it."""
        from pbxbill.access.sealing import read_key_file

        return read_key_file(self._path)

    def seal(self, text: str) -> str:
        """The text as it may be kept."""
        return self.sealer.seal(text)

    def open(self, sealed: str) -> str:
        """The text."""
        return self.sealer.open(sealed)
