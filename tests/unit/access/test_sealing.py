"""Secrets at rest, and the file of their keys."""

from pathlib import Path

import pytest

from pbxbill.access.sealing import Sealer, fresh_sealer, make_key_file, read_key_file
from pbxbill.errors import ConfigurationError


def test_what_is_sealed_opens_with_its_key_alone() -> None:
    sealer = fresh_sealer()
    sealed = sealer.seal("the secret")
    assert "the secret" not in sealed
    assert sealer.open(sealed) == "the secret"
    with pytest.raises(ConfigurationError):
        fresh_sealer().open(sealed)
    with pytest.raises(ConfigurationError):
        sealer.open(sealed[:-3])


def test_a_key_file_is_its_owners_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "pbxbill.key"
    assert make_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    assert not make_key_file(path)
    assert path.read_text() == before


def test_a_new_key_seals_and_the_old_one_still_opens(tmp_path: Path) -> None:
    old, new, path = tmp_path / "old", tmp_path / "new", tmp_path / "both"
    make_key_file(old)
    make_key_file(new)
    sealed = read_key_file(old).seal("the secret")
    path.write_text(new.read_text() + old.read_text())
    both = read_key_file(path)
    assert both.open(sealed) == "the secret"
    assert read_key_file(new).open(both.seal("another")) == "another"
    assert both.signing_keys()[1:] == read_key_file(old).signing_keys()


@pytest.mark.parametrize("content", ["", "no key", "\n" * 3, "ü"])
def test_a_broken_key_file_is_said(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pbxbill.key"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"pbxbill\.key"):
        read_key_file(path)


def test_a_missing_key_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="pbxbill init"):
        read_key_file(tmp_path / "pbxbill.key")


def test_what_was_never_sealed_does_not_open() -> None:
    with pytest.raises(ConfigurationError):
        Sealer([b"A" * 43 + b"="]).open("plain")
