"""Passwords: Argon2id, at least twelve characters, and none of those that everybody tries first."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pbxbill.errors import InputRefused

MIN_LENGTH, MAX_LENGTH = 12, 128
_WORST = (
    "password passwort passw0rd p@ssword p@ssw0rd motdepasse contrasena contraseña qwerty "
    "qwertz azerty asdfgh letmein welcome bienvenue bienvenido willkommen iloveyou admin "
    "administrator changeme default secret master monkey dragon football baseball sunshine "
    "princess superman trustno asterisk freeswitch freepbx fusionpbx pbxbill billing telephone "
    "operator abc abcdef abcdefgh qwertyuiop asdfghjkl zxcvbnm "
)
"""What a password consists of mostly when it is one of the worst, in lower case."""
_hasher = PasswordHasher()  # RFC 9106's second recommendation: 64 MiB, three passes, four lanes


def hashed(password: str) -> str:
    """What is kept of a password."""
    return _hasher.hash(password)


def matches(password_hash: str, password: str) -> bool:
    """Whether it is this password. Without a hash it takes as long as with one, and is not."""
    try:
        _hasher.verify(password_hash or _nobodys(), password[: MAX_LENGTH + 1])
    except (VerificationError, InvalidHashError):
        return False
    return bool(password_hash)


def is_outdated(password_hash: str) -> bool:
    """Whether it was made with other parameters than a new one would be."""
    return _hasher.check_needs_rehash(password_hash)


def checked_password(password: str, *, login: str = "", name: str = "") -> str:
    """A password that may be taken; InputRefused says what is wrong with it."""
    if len(password) < MIN_LENGTH:
        raise InputRefused(f"a password has at least {MIN_LENGTH} characters; some words in a row are good")
    if len(password) > MAX_LENGTH:
        raise InputRefused(f"a password has up to {MAX_LENGTH} characters")
    if not password.isprintable():
        raise InputRefused("a password has printable characters only")
    low = password.lower()
    if len(set(low)) < 5:
        raise InputRefused("a password has more than a few different characters")
    own = [
        x for x in (login.lower(), login.lower().split("@")[0], name.lower().replace(" ", "")) if len(x) > 3
    ]
    rest = low
    for word in sorted([*_WORST.split(), *own], key=len, reverse=True):
        rest = rest.replace(word, "")
    for run in ("0123456789" * 3, "9876543210" * 3):
        rest = _without_run(rest, run)
    if len(rest) < 4:
        raise InputRefused("this password is one of the first that others try")
    return password


def _without_run(text: str, run: str) -> str:
    for length in range(min(len(text), len(run)), 2, -1):
        for start in range(len(text) - length + 1):
            if text[start : start + length] in run:
                return _without_run(text[:start] + text[start + length :], run)
    return text


@cache
def _nobodys() -> str:
    return hashed("nobody has this password")
