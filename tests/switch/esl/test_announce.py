"""Which files a caller hears."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pbxbill.charging.announcement import (
    BALANCE_IS,
    NOT_ENOUGH_CREDIT,
    NUMBER_NOT_ALLOWED,
    ONE_MINUTE_LEFT,
    SERVICE_DENIED,
    TRY_LATER,
    spoken_minutes,
    spoken_money,
    spoken_number,
)
from pbxbill.esl.announce import TONE, Announcer, Voice, find_voices, spoken_files
from pbxbill.money import Unit

DIGITS = [*range(21), 30, 40, 50, 60, 70, 80, 90, "hundred", "thousand", "million", "point"]
PUBLISHED = [
    *(f"digits/{name}.wav" for name in DIGITS),
    *(f"currency/{name}.wav" for name in ("and", "minus", "cent", "cents", "dollar", "dollars")),
    *(f"time/{name}.wav" for name in ("minute", "minutes", "second", "seconds")),
    "voicemail/vm-you_have.wav",
    "misc/error.wav",
    "ivr/ivr-im_sorry.wav",
    "ivr/ivr-that_was_an_invalid_entry.wav",
]
SPANISH = [f"digits/{name}.wav" for name in ("un", "veinti", "hundreds", "millions", 100, 500, 700, 900)]
ENGLISH = ["ivr/ivr-account_balance_is.wav", "misc/phone_not_auth.wav"]


@pytest.fixture
def voices() -> dict[str, Voice]:
    """What FreeSWITCH's published sets hold, by name."""
    return {
        "en": Voice("/s/en/us/callie", frozenset(PUBLISHED + ENGLISH)),
        "fr": Voice("/s/fr/ca/june", frozenset(PUBLISHED)),
        "es": Voice("/s/es/mx/maria", frozenset(PUBLISHED + SPANISH + ENGLISH)),
    }


def heard(path: str) -> str:
    """The file names of a path, short."""
    names = path.removeprefix("file_string://").split("!")
    return " ".join("TONE" if name == TONE else Path(name).stem for name in names)


@pytest.mark.parametrize(
    "language,n,files",
    [
        ("en", 0, "0"),
        ("en", 121, "1 hundred 20 1"),
        ("fr", 71, "60 and 11"),
        ("fr", 91, "80 11"),
        ("es", 21, "veinti 1"),
        ("es", 100, "100"),
        ("es", 101, "hundred 1"),
        ("es", 345, "3 hundreds 40 and 5"),
        ("es", 700, "700"),
        ("es", 21_000, "veinti un thousand"),
    ],
)
def test_numbers(voices: dict[str, Voice], language: str, n: int, files: str) -> None:
    spoken = spoken_files(spoken_number(n, language), language, voices)
    assert heard(spoken.path) == files
    assert spoken.missing == ()


@pytest.mark.parametrize("language", ["en", "fr", "es"])
def test_every_minute_of_a_day_can_be_said(voices: dict[str, Voice], language: str) -> None:
    for minutes in range(1440):
        assert spoken_files(spoken_minutes(minutes * 60, language), language, voices).missing == ()


def test_a_missing_currency_is_a_tone_and_one_log_line(tmp_path: Path) -> None:
    voice = tmp_path / "en" / "us" / "callie"
    for name in PUBLISHED + ENGLISH:
        section, file = name.split("/")
        (voice / section / "8000").mkdir(parents=True, exist_ok=True)
        (voice / section / "8000" / file).touch()
    announcer = Announcer(str(tmp_path))
    tokens = [BALANCE_IS, *spoken_money(2_500_000, Unit("EUR"), "en")]
    with capture_logs() as logs:
        assert heard(announcer.path(tokens, "en")) == "ivr-account_balance_is 2 TONE and 50 cents"
        announcer.path(tokens, "en")
    assert [(entry["event"], entry["word"]) for entry in logs] == [("esl.sound_missing", "euros")]


def test_an_administrator_can_record_a_missing_word(tmp_path: Path) -> None:
    voice = tmp_path / "en" / "us" / "callie"
    for name in ("digits/8000/2.wav", "pbxbill/euros.wav"):
        (voice / name).parent.mkdir(parents=True, exist_ok=True)
        (voice / name).touch()
    path = Announcer(str(tmp_path)).path(spoken_money(2_000_000, Unit("EUR"), "en"), "en")
    assert path == f"file_string://{voice}/digits/2.wav!{voice}/pbxbill/euros.wav"


@pytest.mark.parametrize(
    "word,english,french,spanish",
    [
        (ONE_MINUTE_LEFT, "vm-you_have 1 minute", "vm-you_have 1 minute", "vm-you_have un minute"),
        (SERVICE_DENIED, "phone_not_auth", "TONE", "phone_not_auth"),
        (NUMBER_NOT_ALLOWED, *["ivr-that_was_an_invalid_entry"] * 3),
        (NOT_ENOUGH_CREDIT, "TONE", "TONE", "TONE"),
        (TRY_LATER, "error", "error", "error"),
    ],
)
def test_prompts(voices: dict[str, Voice], word: object, english: str, french: str, spanish: str) -> None:
    for language, expected in (("en", english), ("fr", french), ("es", spanish)):
        assert heard(spoken_files([word], language, voices).path) == expected  # type: ignore[list-item]


def test_no_sounds_at_all_is_a_tone_per_word() -> None:
    assert find_voices("") == {}
    assert find_voices("/nonexistent") == {}
    assert Announcer("/nonexistent").path([ONE_MINUTE_LEFT], "fr") == TONE


def test_a_folder_that_cannot_stand_in_a_command_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "en" / "us" / "my voice" / "digits").mkdir(parents=True)
    assert find_voices(str(tmp_path)) == {}


def test_an_announcement_is_bounded(voices: dict[str, Voice]) -> None:
    assert len(spoken_files([ONE_MINUTE_LEFT] * 500, "en", voices).files) == 60
