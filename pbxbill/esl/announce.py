"""Neutral tokens (pbxbill.charging.announcement) as files of FreeSWITCH's own sound sets.

A word that a sound set does not have is looked for as `pbxbill/WORD.wav` in the voice's folder first, so that
an administrator can record what is missing; what is still missing becomes a short tone and one log line.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from pbxbill.charging.announcement import Form, Number, Token, Word, known_language

log = structlog.get_logger(__name__)

TONE = "tone_stream://%(150,50,700)"
MAX_FILES = 60
"""No announcement has more parts; it also bounds the command that plays them."""

# What each word is in the sets that FreeSWITCH publishes: alternatives, best first, each a list of files.
_COMMON: dict[str, tuple[tuple[str, ...], ...]] = {
    "and": (("currency/and.wav",),),
    "minus": (("currency/minus.wav",),),
    "point": (("digits/point.wav",),),
    "hundred": (("digits/hundred.wav",),),
    "thousand": (("digits/thousand.wav",),),
    "million": (("digits/million.wav",),),
    "millions": (("digits/millions.wav",), ("digits/million.wav",)),
    "minute": (("time/minute.wav",),),
    "minutes": (("time/minutes.wav",),),
    "second": (("time/second.wav",),),
    "seconds": (("time/seconds.wav",),),
    "dollar": (("currency/dollar.wav",),),
    "dollars": (("currency/dollars.wav",),),
    "cent": (("currency/cent.wav",),),
    "cents": (("currency/cents.wav",),),
    "centavo": (("currency/cent.wav",),),
    "centavos": (("currency/cents.wav",),),
    "you_have": (("voicemail/vm-you_have.wav",),),
    "balance_is": (("ivr/ivr-account_balance_is.wav",), ("voicemail/vm-you_have.wav",)),
    "one_minute_left": (("voicemail/vm-you_have.wav", "digits/1.wav", "time/minute.wav"),),
    "service_denied": (("misc/phone_not_auth.wav",), ("ivr/ivr-call_rejected.wav",)),
    "number_not_allowed": (
        ("ivr/ivr-call_cannot_be_completed_as_dialed.wav",),
        ("ivr/ivr-you_have_dialed_an_invalid_extension.wav",),
        ("ivr/ivr-that_was_an_invalid_entry.wav",),
    ),
    "try_later": (("misc/error.wav",),),
    "press": (("voicemail/vm-press.wav",),),
    "enter_pin": (
        ("ivr/ivr-please_enter_pin_followed_by_pound.wav",),
        ("conference/conf-pin.wav",),
        ("voicemail/vm-enter_pass.wav",),
    ),
    "wrong_pin": (
        ("ivr/ivr-pin_or_extension_is-invalid.wav",),
        ("conference/conf-bad-pin.wav",),
        ("voicemail/vm-fail_auth.wav",),
    ),
    "enter_number": (
        ("ivr/ivr-enter_destination_telephone_number.wav",),
        ("ivr/ivr-please_enter_the_phone_number.wav",),
    ),
    "wrong_voucher": (("ivr/ivr-that_was_an_invalid_entry.wav",),),
    "refilled": (("ivr/ivr-thank_you.wav",),),
    "last_call_cost": (("ivr/ivr-you_have_used.wav",),),
    "busy": (("ivr/ivr-user_busy.wav",),),
    "no_answer": (("ivr/ivr-no_user_response.wav",),),
    "goodbye": (("voicemail/vm-goodbye.wav",), ("conference/conf-goodbye.wav",)),
    **{f"month_{month}": ((f"time/mon-{month - 1}.wav",),) for month in range(1, 13)},
}

_OF_LANGUAGE: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {
    "en": {"for_this_language": (("ivr/ivr-for_english_press.wav",),)},
    "es": {
        "ciento": (("digits/hundred.wav",),),
        "one_minute_left": (("voicemail/vm-you_have.wav", "digits/un.wav", "time/minute.wav"),),
    },
}


@dataclass(frozen=True, slots=True)
class Voice:
    """One recorded voice: its folder and the files in it, named SECTION/FILE without the sample rate."""

    folder: str
    files: frozenset[str]


@dataclass(frozen=True, slots=True)
class Spoken:
    """Files in the order to play them, and the words that none was found for."""

    files: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def path(self) -> str:
        """One argument for playback; "" if there is nothing to say."""
        return "file_string://" + "!".join(self.files) if len(self.files) > 1 else "".join(self.files)


def find_voices(sounds_dir: str) -> dict[str, Voice]:
    """A voice per language under LANG/DIALECT/VOICE of FreeSWITCH's sounds folder; others are left out."""
    voices: dict[str, Voice] = {}
    if not sounds_dir or not Path(sounds_dir).is_dir():
        return voices
    for digits in sorted(Path(sounds_dir).glob("*/*/*/digits")):
        voice = digits.parent
        language = voice.parent.parent.name
        if language not in voices and _can_be_said(str(voice)):
            voices[language] = Voice(str(voice), frozenset(_files(voice)))
    return voices


def _files(voice: Path) -> Iterable[str]:
    for file in voice.rglob("*.wav"):
        parts = file.relative_to(voice).parts
        # SECTION/8000/FILE: FreeSWITCH puts the rate in by itself.
        yield "/".join(part for part in parts if not part.isdigit())


def _can_be_said(folder: str) -> bool:
    return not any(character in folder for character in " !'\"\\\n\r{}[]")


def spoken_files(tokens: Sequence[Token], language: str, voices: dict[str, Voice]) -> Spoken:
    """What to play for tokens in a language; without a voice each word is a tone."""
    language = known_language(language)
    voice = voices.get(language, Voice("", frozenset()))
    files: list[str] = []
    missing: list[str] = []
    for token in tokens:
        found = next(
            (names for names in _alternatives(token, language) if voice.files.issuperset(names)), None
        )
        if found is None:
            missing.append(str(token.value) if isinstance(token, Number) else token.name)
            files.append(TONE)
        else:
            files += [f"{voice.folder}/{name}" for name in found]
    return Spoken(tuple(files[:MAX_FILES]), tuple(missing))


def _alternatives(token: Token, language: str) -> Iterable[tuple[str, ...]]:
    if isinstance(token, Word):
        yield (f"pbxbill/{token.name}.wav",)
        yield from _OF_LANGUAGE.get(language, {}).get(token.name, ())
        yield from _COMMON.get(token.name, ())
        return
    if token.form is not Form.PLAIN:
        yield (f"pbxbill/{token.value}-{token.form}.wav",)
    if language == "es":
        yield from _spanish(token)
    yield (f"digits/{token.value}.wav",)


def _spanish(number: Number) -> Iterable[tuple[str, ...]]:
    n = number.value
    if n == 1 and number.form is Form.SHORT:
        yield ("digits/un.wav",)
    if 20 < n < 30:
        yield (f"digits/{n}.wav",)
        unit = "un" if n == 21 and number.form is Form.SHORT else str(n % 10)
        yield ("digits/veinti.wav", f"digits/{unit}.wav")
    if n > 100:
        yield (f"digits/{n}.wav",)
        yield (f"digits/{n // 100}.wav", "digits/hundreds.wav")


class Announcer:
    """Speaks, and says each missing word once in the log."""

    def __init__(self, sounds_dir: str) -> None:
        self.voices = find_voices(sounds_dir)
        self._told: set[tuple[str, str]] = set()

    def path(self, tokens: Sequence[Token], language: str) -> str:
        """What to give to playback; "" if there is nothing to say."""
        spoken = spoken_files(tokens, language, self.voices)
        for word in spoken.missing:
            if (language, word) not in self._told and len(self._told) < 1000:
                self._told.add((language, word))
                log.warning("esl.sound_missing", language=language, word=word, played="a tone")
        return spoken.path
