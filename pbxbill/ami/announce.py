"""Neutral words to Asterisk sound files: what Playback is given.

Each word has candidates, best first: a recording of the operator's own under sounds/LANGUAGE/pbxbill, then
what Asterisk's core sets have. A word without any becomes a tone and a line in the log.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from pbxbill.charging.announcement import (
    ONE_MINUTE_LEFT,
    PROMPT_OF_DENIAL,
    Form,
    Number,
    Token,
    Word,
    before_the_call,
    known_language,
)
from pbxbill.charging.events import Denied, Granted

log = structlog.get_logger(__name__)

TONE = "beep"
MOST_FILES = 60
"""More than any announcement needs, and short enough for one AGI command."""

_CORE: dict[str, dict[str, list[tuple[str, ...]]]] = {
    "any": {
        "hundred": [("digits/hundred",)],
        "thousand": [("digits/thousand",)],
        "million": [("digits/million",)],
        "millions": [("digits/millions",), ("digits/million",)],
        "minus": [("digits/minus",)],
        "point": [("letters/dot",)],
        "minute": [("minute",), ("queue-minute",)],
        "minutes": [("minutes",), ("vm-minutes",)],
        "second": [("second",), ("seconds",)],
        "seconds": [("seconds",), ("queue-seconds",)],
        "dollar": [("digits/dollars",)],
        "dollars": [("digits/dollars",)],
        "you_have": [("vm-youhave",)],
        "balance_is": [("vm-youhave",)],
        "one_minute_left": [("vm-youhave", "digits/1", "minute"), ("vm-youhave", "digits/1", "minutes")],
        "not_enough_credit": [("vm-youhave", "digits/0", "minutes")],
        "service_denied": [("ss-noservice",)],
        "number_not_allowed": [("cannot-complete-as-dialed",), ("ss-noservice",)],
        "try_later": [("all-circuits-busy-now",), ("please-try-call-later",), ("ss-noservice",)],
        "press": [("vm-press",)],
        "enter_pin": [("agent-pass",), ("vm-password",)],
        "wrong_pin": [("vm-incorrect",), ("invalid",)],
        "enter_number": [("vm-enter-num-to-call",), ("vm-toenternumber",)],
        "wrong_voucher": [("invalid",)],
        "refilled": [("added",)],
        "last_call_cost": [("info-about-last-call",)],
        "to_call": [("vm-tomakecall",)],
        "to_hear_last_call": [("info-about-last-call",)],
        "busy": [("vm-isonphone",)],
        "no_answer": [("number-not-answering",), ("vm-nobodyavail",)],
        "goodbye": [("vm-goodbye",), ("goodbye",)],
        **{f"month_{month}": [(f"digits/mon-{month - 1}",)] for month in range(1, 13)},
    },
    "en": {"and": [("vm-and",)]},
    "fr": {"and": [("digits/et",), ("vm-and",)]},
    "es": {"and": [("digits/and",), ("vm-and",)], "ciento": [("digits/100-and",), ("digits/hundred",)]},
}


@dataclass(frozen=True, slots=True)
class Spoken:
    """What Playback is given, and the language to play it in."""

    files: tuple[str, ...]
    language: str
    missing: int = 0

    @property
    def playback(self) -> str:
        """The files as one argument of Playback; empty: nothing to say."""
        return "&".join(self.files)


class Voice:
    """The words of one Asterisk."""

    def __init__(
        self, sounds_dir: Path | None, own: str = "pbxbill", missed: Callable[[], None] = lambda: None
    ) -> None:
        self._own = own
        self._missed = missed
        self._sounds = _find_sounds(sounds_dir) if sounds_dir is not None else None
        self._told: set[tuple[str, str]] = set()

    def before_the_call(self, granted: Granted) -> Spoken:
        """Balance and minutes, as the account wants them."""
        return self.say(before_the_call(granted), granted.announcement.language)

    def denial(self, denied: Denied) -> Spoken:
        """Why the call cannot be made."""
        return self.say([PROMPT_OF_DENIAL[denied.reason]], denied.announcement.language)

    def warning(self, language: str) -> Spoken:
        """One minute is left."""
        return self.say([ONE_MINUTE_LEFT], language)

    def say(self, tokens: Iterable[Token], language: str) -> Spoken:
        """The files for these words in this language."""
        language = known_language(language)
        folder, there = self._folder(language)
        files: list[str] = []
        missing = 0
        for token in tokens:
            found = self._files(token, language, there)
            if found:
                files += found
                continue
            missing += 1
            self._note_missing(token, language)
            if not files or files[-1] != TONE:
                files.append(TONE)
        return Spoken(tuple(files[:MOST_FILES]), folder, missing)

    def _folder(self, language: str) -> tuple[str, frozenset[str] | None]:
        if self._sounds is None:
            return language, None
        for folder in sorted(self._sounds):
            if folder == language or folder.startswith(f"{language}_"):
                return folder, self._sounds[folder]
        return language, frozenset()

    def _files(self, token: Token, language: str, there: frozenset[str] | None) -> Sequence[str]:
        for candidate in self._candidates(token, language):
            if there is None:
                # Nothing can be looked up: trust the core sets, and not that there are recordings of our own.
                if not candidate[0].startswith(f"{self._own}/"):
                    return candidate
            elif all(file in there for file in candidate):
                return candidate
        return ()

    def _candidates(self, token: Token, language: str) -> Sequence[tuple[str, ...]]:
        if isinstance(token, Word):
            core = _CORE[language].get(token.name) or _CORE["any"].get(token.name, [])
            return [(f"{self._own}/{token.name}",), *core]
        return [(f"{self._own}/{name}",) for name in _number_names(token)] + [
            (f"digits/{name}",) for name in _number_names(token)
        ]

    def _note_missing(self, token: Token, language: str) -> None:
        self._missed()
        name = token.name if isinstance(token, Word) else f"number {token.value}"
        if (language, name) not in self._told:
            self._told.add((language, name))
            log.warning(
                "word_without_sound",
                word=name,
                language=language,
                hint=f"record sounds/{language}/{self._own}/",
            )


def _number_names(number: Number) -> list[str]:
    if number.value == 1 and number.form is Form.FEMININE:
        return ["1F", "1"]
    if number.value == 1 and number.form is Form.SHORT:
        return ["1M", "1"]
    return ["100", "hundred"] if number.value == 100 else [str(number.value)]


def _find_sounds(sounds_dir: Path) -> dict[str, frozenset[str]] | None:
    """The sounds of each language folder, without their endings; None when the folder cannot be read."""
    try:
        folders = [path for path in sounds_dir.iterdir() if path.is_dir()]
        return {
            folder.name: frozenset(
                path.relative_to(folder).with_suffix("").as_posix()
                for pattern in ("*.*", "*/*.*")
                for path in folder.glob(pattern)
            )
            for folder in folders
        }
    except OSError as failure:
        log.warning("sounds_unreadable", folder=str(sounds_dir), reason=str(failure))
        return None
