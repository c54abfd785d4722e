"""Files of terms that people write: policies, classes."""

from pathlib import Path

from pbxbill.errors import InputRefused

MAX_BYTES = 1_000_000


def read_terms(file: Path, what: str) -> str:
    """The text of a file; InputRefused where it cannot be one."""
    content = file.read_bytes()
    if len(content) > MAX_BYTES:
        raise InputRefused(f"{file} is longer than {MAX_BYTES:,} bytes: that is no {what}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputRefused(f"{file} is not UTF-8; save it as UTF-8") from None
