"""What a meter's charge says of its days."""

import pytest

from pbxbill.mediation.meters import days_text


@pytest.mark.parametrize(
    "duration_s, text",
    [(30 * 86_400, "30 days"), (86_400, "1 day"), (88_200, "1 day and 1800 s"), (1800, "1800 s")],
)
def test_days_are_told_without_empty_parts(duration_s: int, text: str) -> None:
    assert days_text(duration_s * 1_000_000) == text
