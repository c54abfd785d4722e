"""Words on Asterisk's own sounds, in three languages, and what is missing."""

from pathlib import Path

import pytest

from pbxbill.ami.announce import TONE, Voice
from pbxbill.charging.announcement import Form, Number, Word, spoken_minutes, spoken_money
from pbxbill.charging.events import Announcement, DenialReason, Denied
from pbxbill.money import Unit

USD = Unit("USD")
EUR = Unit("EUR")
CORE = ["vm-youhave", "minute", "minutes", "seconds", "ss-noservice", "beep", "vm-and", "digits/dollars"]
CORE += [f"digits/{name}" for name in ("0", "1", "2", "12", "20", "30", "hundred", "thousand")]


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folders = {"en": CORE, "fr_CA_f_June": [*CORE, "digits/et"], "es": [*CORE, "digits/1M", "digits/1F"]}
    for folder, names in folders.items():
        for name in names:
            path = tmp_path / folder / f"{name}.gsm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path


def test_money_in_words(sounds: Path) -> None:
    said = Voice(sounds).say(spoken_money(12_000_000, USD, "en"), "en")
    assert (said.playback, said.language, said.missing) == ("digits/12&digits/dollars", "en", 0)


def test_the_folder_of_a_language_may_carry_its_voice(sounds: Path) -> None:
    said = Voice(sounds).say(spoken_minutes(120, "fr"), "fr-CA")
    assert (said.playback, said.language) == ("digits/2&minutes", "fr_CA_f_June")


def test_genders(sounds: Path) -> None:
    voice = Voice(sounds)
    assert voice.say([Number(1, Form.SHORT)], "es").files == ("digits/1M",)
    assert voice.say([Number(1, Form.FEMININE)], "es").files == ("digits/1F",)
    assert voice.say([Number(1, Form.FEMININE)], "fr").files == ("digits/1",)


def test_a_missing_word_is_a_tone_and_counted(sounds: Path) -> None:
    missed: list[int] = []
    voice = Voice(sounds, missed=lambda: missed.append(1))
    said = voice.say(spoken_money(12_000_000, EUR, "en"), "en")
    assert (said.files, said.missing, len(missed)) == (("digits/12", TONE), 1, 1)


def test_recordings_of_the_operators_own_come_first(sounds: Path) -> None:
    own = sounds / "en" / "pbxbill" / "not_enough_credit.wav"
    own.parent.mkdir()
    own.touch()
    denied = Denied("s", DenialReason.CREDIT_LIMIT_REACHED)
    assert Voice(sounds).denial(denied).files == ("pbxbill/not_enough_credit",)


@pytest.mark.parametrize("reason", list(DenialReason))
@pytest.mark.parametrize("language", ["en", "fr", "es", "de"])
def test_every_denial_says_something(sounds: Path, reason: DenialReason, language: str) -> None:
    said = Voice(sounds).denial(Denied("s", reason, Announcement(language=language)))
    assert said.files


def test_without_a_folder_to_look_into_the_core_sounds_are_trusted(tmp_path: Path) -> None:
    for folder in (None, tmp_path / "gone"):
        assert Voice(folder).warning("en").files == ("vm-youhave", "digits/1", "minute")


def test_an_announcement_has_an_end(sounds: Path) -> None:
    assert len(Voice(sounds).say([Word("minutes")] * 500, "en").files) == 60
