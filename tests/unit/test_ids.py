"""Identifiers sort by time, never repeat, and are told from other text."""

import time
import uuid

import pytest

from pbxbill.ids import is_id, new_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    identifier = uuid.UUID(new_id())
    assert identifier.version == 7
    assert identifier.variant == uuid.RFC_4122


def test_an_id_begins_with_the_time_of_its_making() -> None:
    before_ms = time.time_ns() // 1_000_000
    made_ms = int(new_id()[:12], 16)
    assert before_ms <= made_ms <= time.time_ns() // 1_000_000


def test_ids_do_not_repeat() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_every_id_has_the_form_of_one() -> None:
    assert all(is_id(new_id()) for _ in range(100))


@pytest.mark.parametrize(
    "text", ["", "0" * 31, "0" * 33, "0" * 32 + "\n", "G" * 32, "A" * 32, "٣" * 32, str(uuid.UUID(int=0))]
)
def test_other_text_is_no_id(text: str) -> None:
    assert not is_id(text)
