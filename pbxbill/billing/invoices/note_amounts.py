"""What a credit note gives back of an invoice, line by line and tax by tax. Pure.

Amounts are whole minor units, in steps of the unit. No note takes more of a line, or of a tax, than what
earlier notes left of it, and the last note takes all that is left: so that the notes of an invoice never add
up to more than it, and those that give all of it back are exactly the invoice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount, half_up, minor_step


class CreditableLine(NamedTuple):
    """A line of the invoice; below zero: something it gave back itself."""

    id: int
    net: int
    credited: int = 0
    """By earlier notes."""

    @property
    def left(self) -> int:
        """What no note has given back yet."""
        return self.net - self.credited


class CreditableTax(NamedTuple):
    """A tax of the invoice."""

    position: int
    base: int
    tax: int
    base_credited: int = 0
    credited: int = 0


class TaxGroup(NamedTuple):
    """Lines whose tax was rounded together: all of a rate's, or each by itself where the issuer wants it."""

    position: int
    tax: int
    line_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Creditable:
    """An invoice and what notes gave back of it so far."""

    unit: Unit
    lines: tuple[CreditableLine, ...]
    taxes: tuple[CreditableTax, ...]
    groups: tuple[TaxGroup, ...]

    @property
    def left(self) -> int:
        """What notes can still give back, with tax."""
        return sum(x.left for x in self.lines) + sum(x.tax - x.credited for x in self.taxes)


@dataclass(frozen=True, slots=True)
class Whole:
    """All that is left."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Part of the invoice, spread over its lines and taxes in proportion."""

    total: int
    """With tax."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Some lines; None: all that is left of the line, else so much of its net."""

    nets: tuple[tuple[int, int | None], ...]


What = Whole | Amount | Lines


class NoteTax(NamedTuple):
    """A tax of the note."""

    position: int
    base: int
    tax: int


@dataclass(frozen=True, slots=True)
class NoteAmounts:
    """What the note says; above zero: given back."""

    lines: tuple[tuple[int, int], ...]
    """Line and net."""
    taxes: tuple[NoteTax, ...]

    @property
    def net(self) -> int:
        """Without tax."""
        return sum(net for _, net in self.lines)

    @property
    def tax(self) -> int:
        """Of all rates."""
        return sum(x.tax for x in self.taxes)

    @property
    def total(self) -> int:
        """With tax."""
        return self.net + self.tax


def note_amounts(invoice: Creditable, what: What) -> NoteAmounts:
    """What a note gives back; InputRefused where it asks for more than is left."""
    if not invoice.left and not any(line.left for line in invoice.lines):
        raise InputRefused("nothing is left of it to credit")
    made = _made(invoice, what)
    if made.total < 0:
        raise InputRefused(
            f"these lines gave back {_said(-made.total, invoice)} themselves: a debit note asks for it "
            "again, or credit them together with lines that cost more"
        )
    return made


def _made(invoice: Creditable, what: What) -> NoteAmounts:
    match what:
        case Whole():
            return _whole(invoice)
        case Amount(total):
            return _part(invoice, total)
        case Lines(nets):
            return _of_lines(invoice, nets)


def share(whole: int, part: int, of: int, step: int = 1) -> int:
    """whole * part / of, rounded half-up to a multiple of step; below zero as above it."""
    return half_up(whole * part, of, step) if of > 0 else half_up(-whole * part, -of, step)


def exact_part(line: CreditableLine, net: int, exact: int) -> int:
    """What giving back so much of a line's net takes of the exact amount behind it.

    Reckoned from what is credited before and after, so that all parts together are the exact amount.
    """
    if not line.net:
        return 0
    return share(exact, line.credited + net, line.net) - share(exact, line.credited, line.net)


def spread(amount: int, weights: Sequence[int], step: int) -> list[int]:
    """An amount up to the sum of the weights, in proportion to them; no part is larger than its weight.

    Every running sum is rounded, not every part: so the parts add up to the amount.
    """
    of = sum(weights)
    parts = []
    running = given = 0
    for weight in weights:
        running += weight
        reached = share(amount, running, of, step) if of else 0
        parts.append(reached - given)
        given = reached
    return parts


def _whole(invoice: Creditable) -> NoteAmounts:
    lines = [(line.id, line.left) for line in invoice.lines if line.left]
    taxes = [NoteTax(x.position, x.base - x.base_credited, x.tax - x.credited) for x in invoice.taxes]
    # Many lines below half a coin have a tax and no net: a note needs a line all the same.
    return NoteAmounts(tuple(lines or [(invoice.lines[0].id, 0)]), _told(taxes))


def _part(invoice: Creditable, total: int) -> NoteAmounts:
    step = minor_step(invoice.unit)
    if total <= 0 or total % step:
        raise InputRefused(f"a credit is more than zero, in whole coins: not {_said(total, invoice)}")
    if total > invoice.left:
        raise InputRefused(
            f"{_said(total, invoice)} is more than the {_said(invoice.left, invoice)} left of it"
        )
    if total == invoice.left:
        return _whole(invoice)
    left_net = sum(line.left for line in invoice.lines)
    net = share(left_net, total, invoice.left, step)
    nets = spread(net, [line.left for line in invoice.lines], step)
    lines = {line.id: part for line, part in zip(invoice.lines, nets, strict=True)}
    # The tax is what the net leaves of the asked total: it may be a coin off the rate, the total is not.
    taxes = spread(total - net, [x.tax - x.credited for x in invoice.taxes], step)
    after = {line.id: line.credited + lines[line.id] for line in invoice.lines}
    notes = [
        NoteTax(x.position, _base(invoice, x, after), tax)
        for x, tax in zip(invoice.taxes, taxes, strict=True)
    ]
    return NoteAmounts(tuple((id, part) for id, part in lines.items() if part), _told(notes))


def _of_lines(invoice: Creditable, nets: Iterable[tuple[int, int | None]]) -> NoteAmounts:
    step = minor_step(invoice.unit)
    known = {line.id: line for line in invoice.lines}
    lines: dict[int, int] = {}
    for id, asked in nets:
        line = known.get(id)
        if line is None:
            raise InputRefused(f"the invoice has no line {id}")
        if id in lines:
            raise InputRefused(f"line {id} is named twice")
        net = line.left if asked is None else asked
        if not line.left:
            raise InputRefused(f"nothing is left of line {id} to credit")
        if net % step or not 0 < net * _sign(line.left) <= abs(line.left):
            raise InputRefused(
                f"line {id}: {_said(line.left, invoice)} is left of it, and a credit is more than zero "
                f"and no more than that, in whole coins: not {_said(net, invoice)}"
            )
        lines[id] = net
    after = {line.id: line.credited + lines.get(line.id, 0) for line in invoice.lines}
    taxes = [NoteTax(x.position, _base(invoice, x, after), _tax(invoice, x, after)) for x in invoice.taxes]
    made = NoteAmounts(tuple(lines.items()), _told(taxes))
    if made.total > max(0, invoice.left):  # a line below zero stays: the others together may be more than all
        raise InputRefused(
            f"together with tax {_said(made.total, invoice)}, which is more than the "
            f"{_said(invoice.left, invoice)} left of the invoice"
        )
    return made


def _tax(invoice: Creditable, tax: CreditableTax, after: Mapping[int, int]) -> int:
    """What a note takes of a tax once so much of each line is credited."""
    left = tax.tax - tax.credited
    groups = [group for group in invoice.groups if group.position == tax.position]
    if _complete(invoice, groups, after):
        return left
    step = minor_step(invoice.unit)
    due = 0
    for group in groups:
        net = sum(line.net for line in invoice.lines if line.id in group.line_ids)
        credited = sum(after[id] for id in group.line_ids)
        due += share(group.tax, credited, net, step) if net else 0
    return _between(due - tax.credited, left)


def _base(invoice: Creditable, tax: CreditableTax, after: Mapping[int, int]) -> int:
    left = tax.base - tax.base_credited
    groups = [group for group in invoice.groups if group.position == tax.position]
    if _complete(invoice, groups, after):
        return left
    ids = frozenset[int]().union(*(group.line_ids for group in groups))
    net = sum(line.net for line in invoice.lines if line.id in ids)
    if not net:
        return 0
    due = share(tax.base, sum(after[id] for id in ids), net, minor_step(invoice.unit))
    return _between(due - tax.base_credited, left)


def _complete(invoice: Creditable, groups: Iterable[TaxGroup], after: Mapping[int, int]) -> bool:
    ids = frozenset[int]().union(*(group.line_ids for group in groups))
    return all(after[line.id] == line.net for line in invoice.lines if line.id in ids)


def _between(amount: int, left: int) -> int:
    return max(min(amount, left), 0) if left >= 0 else min(max(amount, left), 0)


def _told(taxes: Iterable[NoteTax]) -> tuple[NoteTax, ...]:
    return tuple(tax for tax in taxes if tax.base or tax.tax)


def _sign(amount: int) -> int:
    return -1 if amount < 0 else 1


def _said(amount: int, invoice: Creditable) -> str:
    return f"{format_amount(amount, invoice.unit)} {invoice.unit.code}"
