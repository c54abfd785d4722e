"""Secrets at rest: sealed with the keys of a file that does not stand in the database.

The file holds a Fernet key per line. The first seals; all of them open, so that a new key is put before the
old one and what was sealed before still opens. Cookies are signed with keys made from the same file.
"""

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.exc import DontWrapMixin

from pbxbill.errors import ConfigurationError
from pbxbill.store.sealed import MARK

MAX_KEYS = 16


class KeyFault(ConfigurationError, DontWrapMixin):
    """The key file is missing or wrong; found while a row is written, it is no fault of the statement."""


class Sealer:
    """Seals and opens texts."""

    def __init__(self, keys: list[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._keys = keys

    def seal(self, text: str) -> str:
        """The text as it may be kept."""
        return MARK + self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """The text; ConfigurationError if none of the keys sealed it."""
        try:
            return self._fernet.decrypt(sealed.removeprefix(MARK).encode()).decode()
        except InvalidToken:
            raise KeyFault(
                "a secret in the database was sealed with another key than those of web.key_file"
            ) from None

    def signing_keys(self) -> list[bytes]:
        """What cookies are signed with: the first signs, all are believed."""
        return [HKDF(SHA256(), 32, None, b"pbxbill cookies").derive(key) for key in self._keys]


def fresh_sealer() -> Sealer:
    """One whose key nobody keeps: what it seals is lost with the process."""
    return Sealer([Fernet.generate_key()])


def read_key_file(path: Path) -> Sealer:
    """The sealer of a key file; ConfigurationError says what is wrong with it."""
    try:
        keys = path.read_text("ascii").split()
    except FileNotFoundError:
        raise KeyFault(
            f"there is no key file {path} (web.key_file); `pbxbill init` makes one, unless secrets were "
            "sealed before: then bring back your copy"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFault(f"the key file {path} cannot be read: {error}") from None
    try:
        if not 1 <= len(keys) <= MAX_KEYS:
            raise ValueError
        return Sealer([key.encode() for key in keys])
    except ValueError:
        raise KeyFault(f"the key file {path} holds no key, or something else than keys") from None


def make_key_file(path: Path) -> bool:
    """Make a key file that its owner alone can read; False if there is one."""
    try:
        # Never written over: with it everything that was sealed would be lost.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    except OSError as error:
        raise KeyFault(f"the key file {path} cannot be made: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return True
