"""Files in bodies: base64, bounded."""

import base64
import binascii
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from pbxbill.web.api.objects import wrong


def request_bytes(most_bytes: int) -> int:
    """How large a request with such a file may be."""
    return most_bytes * 4 // 3 + 65_536


def sent_file(most_bytes: int) -> Any:
    """The type of a field that holds one."""
    return Annotated[
        str,
        StringConstraints(min_length=1, max_length=-(-most_bytes // 3) * 4),
        Field(
            description=f"The file in base64; up to {most_bytes:,} bytes.",
            json_schema_extra={"contentEncoding": "base64"},
        ),
    ]


def content_of(text: str, name: str, most_bytes: int) -> bytes:
    """What such a field holds; the problem of the field where it is none."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise wrong(name, "is not base64") from None
    if len(content) > most_bytes:
        raise wrong(name, f"up to {most_bytes:,} bytes")
    return content
