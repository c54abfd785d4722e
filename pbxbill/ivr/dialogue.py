"""The conversation at an access number, as a pure state machine. No socket, no clock, no database.

    Started -> language -> known caller | PIN -> number, or * for the menu -> Authorize -> Dial
    Resumed (## or the far end ended a call) -> cost, balance -> number ...

take() gets what the line tells and returns the one thing to do next; what follows is told by the next take().
Both switches drive the same class. Digits pressed while something is said are the first of the answer, so
everything that precedes a question is said with it.
"""

from enum import StrEnum
from typing import assert_never

from pbxbill.charging.announcement import (
    BUSY,
    ENTER_NUMBER,
    ENTER_PIN,
    ENTER_VOUCHER,
    GOODBYE,
    NO_ANSWER,
    NO_LAST_CALL,
    NUMBER_NOT_ALLOWED,
    PROMPT_OF_DENIAL,
    TRY_LATER,
    WRONG_PIN,
    WRONG_VOUCHER,
    Token,
    known_language,
)
from pbxbill.clock import SECOND_US
from pbxbill.ivr.access_number import AccessTerms
from pbxbill.ivr.sentences import (
    balance_words,
    cost_words,
    language_words,
    menu_words,
    minutes_words,
    refilled_words,
)
from pbxbill.ivr.turns import (
    Act,
    Allowed,
    Ask,
    Authorize,
    CallerUnknown,
    Card,
    CardKnown,
    CheckPin,
    Dial,
    Ending,
    Failed,
    FindCaller,
    FindLastCall,
    Found,
    Gone,
    HangUp,
    Heard,
    LastCall,
    NotAllowed,
    Part,
    PinWrong,
    Redeem,
    Refilled,
    Resumed,
    Said,
    Say,
    Started,
    Told,
    VoucherWrong,
    Wait,
)

MAX_NUMBER, MAX_VOUCHER = 20, 24
LEAST_NUMBER = 2
"""Fewer digits are no number: a slip, or silence that was ended by #."""
LONGEST_WAIT_S = 10
"""Who must wait longer after wrong tries is told to call later."""
MOST_WRONG = 5
"""Wrong numbers, vouchers and choices in a row."""


class Question(StrEnum):
    """What the caller was asked."""

    LANGUAGE = "language"
    PIN = "pin"
    NUMBER = "number"
    MENU = "menu"
    VOUCHER = "voucher"


QUESTIONS = {
    Question.PIN: ENTER_PIN,
    Question.NUMBER: ENTER_NUMBER,
    Question.VOUCHER: ENTER_VOUCHER,
}

SECRETS = (Question.PIN, Question.VOUCHER)


class Dialogue:
    """One line at an access number, from its answer to a dialled call, or from that one's end on."""

    def __init__(self, terms: AccessTerms, now_us: int) -> None:
        """now_us, here and below: monotonic."""
        self._terms = terms
        self.language = terms.languages[0]
        self.card: Card | None = None
        self._asked = Question.PIN
        self._after_words: Act | Question = HangUp()
        self._first: list[Token] = []
        """Said before the next question."""
        self._silent = 0
        self._wrong = 0
        self._ends_us = now_us + terms.max_setup_s * SECOND_US

    def take(self, told: Told, now_us: int) -> Act:
        """What to do next."""
        if isinstance(told, Gone):
            return HangUp()
        if isinstance(told, CardKnown | Resumed):
            self._ends_us = now_us + self._terms.max_service_s * SECOND_US
        elif now_us >= self._ends_us and not isinstance(told, Said | Allowed):
            return self._goodbye()
        match told:
            case Started():
                return self._ask(Question.LANGUAGE) if len(self._terms.languages) > 1 else self._identify()
            case Resumed():
                return self._resume(told)
            case Heard(digits):
                return self._heard(digits)
            case Said():
                after = self._after_words
                return self._ask(after) if isinstance(after, Question) else after
            case _:
                return self._found(told)

    def _found(self, told: Found) -> Act:
        """What became of something that was looked up or done."""
        match told:
            case CardKnown(card):
                self.card = card
                return self._go_on(*balance_words(card, self._terms, self.language))
            case CallerUnknown():
                return self._ask(Question.PIN)
            case PinWrong(wait_s):
                return self._refuse(Question.PIN, WRONG_PIN, self._terms.pin_attempts, wait_s)
            case Refilled():
                self.card = told.card
                return self._go_on(*refilled_words(told, self.language))
            case VoucherWrong(wait_s):
                return self._refuse(Question.VOUCHER, WRONG_VOUCHER, MOST_WRONG, wait_s)
            case LastCall(cost):
                return self._go_on(*(cost_words(cost, self.language) if cost else [NO_LAST_CALL]))
            case Allowed(affordable_s):
                return self._dial(affordable_s)
            case NotAllowed(reason):
                return self._refuse(Question.NUMBER, PROMPT_OF_DENIAL[reason], MOST_WRONG)
            case Failed():
                return self._goodbye(TRY_LATER)
            case _ as never:
                assert_never(never)

    @property
    def digit_s(self) -> int:
        """How long the next digit is waited for."""
        return self._terms.digit_s

    def left_us(self, now_us: int) -> int:
        """How long it may go on."""
        return max(0, self._ends_us - now_us)

    # --- who calls ------------------------------------------------------------------------------

    def _identify(self) -> Act:
        return FindCaller() if self._terms.known_callers else self._ask(Question.PIN)

    def _resume(self, told: Resumed) -> Act:
        self.card = told.card
        if told.language in self._terms.languages:
            self.language = told.language
        after: list[Token] = []
        match told.ending:
            case Ending.TALKED if self._terms.say_cost and told.cost is not None:
                after = cost_words(told.cost, self.language) + balance_words(
                    told.card, self._terms, self.language, validity=False
                )
            case Ending.TALKED:
                pass
            case Ending.BUSY:
                after = [BUSY]
            case Ending.NO_ANSWER:
                after = [NO_ANSWER]
            case Ending.FAILED:
                after = [NUMBER_NOT_ALLOWED]
        return self._go_on(*after)

    # --- questions ------------------------------------------------------------------------------

    def _go_on(self, *words: Token) -> Act:
        """Something came right: say so, and ask for the next number."""
        self._silent = self._wrong = 0
        self._first = [*self._first, *words]
        return self._ask(Question.NUMBER)

    def _ask(self, question: Question) -> Act:
        self._asked = question
        said, self._first = self._first, []
        if question is Question.LANGUAGE:
            parts = [Part(self.language, tuple(said))] if said else []
            parts += [
                Part(language, tuple(language_words(number)))
                for number, language in enumerate(self._terms.languages, 1)
            ]
            return self._asking(tuple(parts), 1)
        words = menu_words(self._terms) if question is Question.MENU else [QUESTIONS[question]]
        secret = question in SECRETS
        return self._asking((Part(self.language, (*said, *words)),), self._most(question), secret=secret)

    def _most(self, question: Question) -> int:
        if question is Question.PIN:
            return self._terms.pin_digits
        return {Question.NUMBER: MAX_NUMBER, Question.VOUCHER: MAX_VOUCHER}.get(question, 1)

    def _asking(self, parts: tuple[Part, ...], most: int, *, secret: bool = False) -> Ask:
        return Ask(parts, most, self._terms.answer_s, self._terms.digit_s, secret)

    def _heard(self, digits: str) -> Act:
        if not digits:
            self._silent += 1
            return self._goodbye() if self._silent > self._terms.repeats else self._ask(self._asked)
        self._silent = 0
        match self._asked:
            case Question.LANGUAGE:
                return self._language(digits)
            case Question.PIN:
                return CheckPin(digits)
            case Question.NUMBER if digits.startswith("*"):
                return self._ask(Question.MENU)
            case Question.NUMBER:
                whole = len(digits) >= LEAST_NUMBER and digits.isdigit()
                return (
                    Authorize(digits)
                    if whole
                    else self._refuse(Question.NUMBER, NUMBER_NOT_ALLOWED, MOST_WRONG)
                )
            case Question.MENU:
                return self._menu(digits)
            case Question.VOUCHER if digits.startswith("*"):
                return self._ask(Question.MENU)
            case Question.VOUCHER:
                return Redeem(digits)

    def _language(self, digits: str) -> Act:
        number = int(digits) if digits.isdigit() else 0
        if not 1 <= number <= len(self._terms.languages):
            return self._mistaken(Question.LANGUAGE)
        self.language = known_language(self._terms.languages[number - 1])
        self._wrong = 0
        return self._identify() if self.card is None else self._ask(Question.NUMBER)

    def _menu(self, digits: str) -> Act:
        match digits:
            case "1" | "*":
                return self._ask(Question.NUMBER)
            case "2" if self._terms.refill:
                return self._ask(Question.VOUCHER)
            case "3" if self._terms.last_call:
                return FindLastCall()
            case "4" if len(self._terms.languages) > 1:
                return self._ask(Question.LANGUAGE)
            case _:
                return self._mistaken(Question.MENU)

    def _mistaken(self, question: Question) -> Act:
        """No such choice: the question says what there is."""
        self._wrong += 1
        return self._goodbye() if self._wrong >= MOST_WRONG else self._ask(question)

    def _refuse(self, question: Question, word: Token, attempts: int, wait_s: int = 0) -> Act:
        self._wrong += 1
        if wait_s > LONGEST_WAIT_S:
            return self._goodbye(word, TRY_LATER)
        if self._wrong >= attempts:
            return self._goodbye(word)
        self._first = [word]
        if wait_s:
            self._after_words = question
            return Wait(wait_s)
        return self._ask(question)

    # --- ends -----------------------------------------------------------------------------------

    def _dial(self, affordable_s: int) -> Act:
        if not self._terms.say_minutes:
            return Dial()
        self._after_words = Dial()
        return Say(Part(self.language, tuple(minutes_words(affordable_s, self.language))))

    def _goodbye(self, *words: Token) -> Act:
        self._after_words = HangUp()
        return Say(Part(self.language, (*words, GOODBYE)))
