"""The AGI and AMI commands that steer one call, as text. Pure, so that what Asterisk is told can be tested.

One application call sets everything about a verdict: each AGI command is a round trip that the caller waits
for.
"""

import re
from collections.abc import Mapping

from pbxbill.errors import InputRefused

_SAFE = re.compile(r"[A-Za-z0-9_.:/&+@#*=-]*")


def is_safe(value: str) -> bool:
    """Whether a value means nothing but itself inside an application's arguments."""
    return _SAFE.fullmatch(value) is not None


def set_variables(variables: Mapping[str, str]) -> tuple[str, str, str]:
    """EXEC MSet with all variables; InputRefused when a value could be taken for more than a value."""
    for name, value in variables.items():
        if not is_safe(value):
            raise InputRefused(f"the value of {name} cannot be set: {value[:40]!r}")
    pairs = ",".join(f"{name}={value}" for name, value in variables.items())
    return "EXEC", "MSet", f'"{pairs}"'


def seconds(duration_us: int) -> str:
    """A duration as Asterisk takes it: seconds with three digits, rounded down but never to zero."""
    milliseconds = max(1, duration_us // 1000)
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
