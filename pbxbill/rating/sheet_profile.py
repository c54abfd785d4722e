"""How a rate sheet is written: which of its columns is which of ours, its marks, dates and increments.

A profile is a TOML file that says so. What it does not say is told from the header, by the many names
that carriers give their columns; the layout that came of it is shown before anything is imported.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.written_toml import TOMLDecodeError, read_toml

MAX_STEPS = 9
_NAMES_SHOWN = 30
"""Of a header that is not understood."""

REFUSAL_COLUMNS = ("refused_line", "refused_reason")
"""What write_refused() puts before a row; skipped when the file is read again."""

STEP_COLUMNS = tuple(
    f"{name}{'' if number == 1 else f'_{number}'}"
    for number in range(1, MAX_STEPS + 1)
    for name in ("step_from", "step_price")
)

COLUMNS = (
    *("prefix", "country_code", "codes", "destination", "price_per_min", "price_per_second"),
    *("connection_fee", "initial_increment", "following_increment", "increments", "minimum_charge"),
    *("maximum_charge", "ends_at_maximum", "free_seconds", "effective_from", "effective_to"),
    *("band", "steps", "currency", *STEP_COLUMNS),
)
KNOWN = ", ".join(name for name in COLUMNS if not name.startswith("step_") or name in STEP_COLUMNS[:2])

_SPELLINGS: Mapping[str, str] = {
    "prefix": "prefix|prefixes|code|dial code|dialcode|dial codes|dialing code|dialling code|dialing codes|"
    "dialling codes|dial prefix|dialing prefix|dialling prefix|destination code|destination codes|"
    "destination prefix|dest code|dest codes|dest prefix|dst code|dst prefix|full code|"
    "number prefix|phone prefix|called prefix|breakout|breakout code|e164|e 164|e164 code|e164 prefix|"
    "e 164 prefix|vorwahl|vorwahlen|rufnummernprafix|indicatif|indicatifs|indicatif pays|prefixe|prefixes|"
    "prefijo|prefijos|codigo|prefisso|prefissi|prefixo",
    "country_code": "country code|countrycode|cc|country dial code|country dialing code|"
    "country dialling code|international code|landesvorwahl|landervorwahl",
    "codes": "codes|area codes|area code|city codes|city code|breakouts|national codes|ndc|"
    "ndcs|local codes|area code list|national destination code",
    "destination": "destination|destination name|destinations|description|zone|zone name|country|"
    "country name|name|route|route name|area name|dest|dest name|destination zone|"
    "dst name|ziel|zielland|land|pays|pais|paese|destino|destinazione|nom|libelle",
    "price_per_min": "price|rate|price min|price minute|price per min|price per minute|rate min|rate minute|"
    "rate per min|rate per minute|per minute|per min|cost|cost min|cost per min|cost per minute|new rate|"
    "new price|charge per minute|sell rate|buy rate|sell price|buy price|selling rate|selling price|"
    "buying rate|buying price|current rate|voice rate|call rate|rate 1 min|price 1 min|rate amount|"
    "rate value|call price|price per message|rate per message|unit price|preis|preis min|preis je minute|"
    "preis pro minute|preis pro min|minutenpreis|prix|prix min|prix minute|prix par minute|cout|"
    "cout par minute|precio|precio min|precio minuto|precio por minuto|prezzo|prezzo al minuto|preco",
    "price_per_second": "price sec|price second|price per sec|price per second|rate sec|rate second|"
    "rate per sec|rate per second|per second|cost per second|preis pro sekunde|prix par seconde",
    "connection_fee": "connection fee|connect fee|connect charge|connection charge|connection cost|"
    "connect cost|connection price|setup fee|set up fee|set up charge|setup charge|setup cost|"
    "call setup fee|call setup charge|call fee|flagfall|flag fall|call attempt fee|verbindungsentgelt",
    "initial_increment": "initial increment|initial interval|initial|first increment|first interval|"
    "interval 1|minimum duration|min duration|initial period|1st interval|1st increment|minimal time|"
    "minimum increment|min increment|initial billing increment|first period|"
    "initial block|first block|initial rounding",
    "following_increment": "following increment|next interval|next increment|subsequent increment|"
    "subsequent interval|interval n|increment|additional increment|additional interval|following interval|"
    "next period|recurring interval|recurring increment|recurrent increment|recurrent interval|"
    "second increment|second interval|2nd interval|2nd increment|subsequent billing increment|"
    "next block",
    "increments": "increments|billing increment|billing increments|billing interval|billing intervals|"
    "interval 1 n|intervals|billing terms|billing|rounding|charging interval|charging intervals|"
    "charging increment|billing rule|billing block|billing step|pulse|taktung|takt",
    "minimum_charge": "minimum charge|min charge|minimum price|minimum cost|min price|min cost|"
    "minimum call charge|mindestpreis|mindestentgelt",
    "maximum_charge": "maximum charge|max charge|maximum price|maximum cost|max price|max cost|"
    "maximum call charge|price cap|charge cap|call cap|hochstpreis",
    "ends_at_maximum": "ends at maximum",
    "free_seconds": "free seconds|free secs|grace period|grace time|free period|free time|grace",
    "effective_from": "effective from|effective date|effective|valid from|start date|date effective|"
    "from date|active from|begin date|commencement date|valid as of|eff date|effdate|effective from date|"
    "effective start date|effective start|effective date time|rate effective date|"
    "valid from date|validity date|activation date|active date|date from|gueltig ab|gultig ab|"
    "gultig von|date d effet|date effet|valable a partir du|fecha efectiva|fecha de vigencia",
    "effective_to": "effective to|end date|valid to|valid until|valid till|expiry date|expiration date|"
    "effective until|effective till|to date|active until|discontinue date|expire date|expires|expiry|"
    "effective end date|effective end|valid to date|valid through|valid thru|date to|"
    "gueltig bis|gultig bis|date de fin",
    "band": "band|time band|timeband|time of day|period|tod|rate period|time class|time period",
    "steps": "steps|rate steps",
    "currency": "currency|curr|ccy|currency code|rate currency|waehrung|wahrung|devise|moneda|valuta",
}
_IN_NEED: Mapping[str, str] = {
    "prefix": "number|numbers|digits|pattern|dial|dnis|cld|country area code|cc ndc|ccndc",
    "destination": "area|destination country|region|network|network name|operator|operator name|location|"
    "place|direction|termination|label|zona",
    "price_per_min": "tariff|tarif|tarifa|tariffa|amount|value|charge|min|peak rate|peak|standard rate|"
    "flat rate",
}
"""Names that often mean something else: taken where no other column can be what a sheet must have."""
_SECONDS = ("initial_increment", "following_increment", "increments", "free_seconds")


def _fields_by_spelling() -> dict[str, str]:
    found = {spelling: ours for ours, all_ in _SPELLINGS.items() for spelling in all_.split("|")}
    for spelling, ours in tuple(found.items()):
        if ours in _SECONDS:
            found |= {f"{spelling} {unit}": ours for unit in ("s", "sec", "secs", "seconds", "in seconds")}
    return found | {name.replace("_", " "): name for name in (*COLUMNS, *REFUSAL_COLUMNS)}


_FIELD_OF = _fields_by_spelling()
_BETTER_NAMES = (
    *("destination", "destination name", "dest", "dest name", "destination zone", "zone", "zone name"),
    "description",
)
"""Of several columns that may name the destination the one whose name stands first here."""

_YES_OR_NO = ("end_date_included", "codes_include_country", "others_by_name")

_CURRENCY_CODES = (
    "usd eur gbp chf inr aed cad aud sgd hkd jpy cny brl zar sek nok dkk pln "
    "czk huf ron bgn try rub uah sar qar kwd bhd omr egp ngn kes ghs mxn ars "
    "clp cop pen thb idr myr php vnd krw twd nzd ils xof xaf "
)
_CURRENCIES = frozenset(_CURRENCY_CODES.split())
_SIGNS = {"$": "usd", "€": "eur", "£": "gbp", "₹": "inr"}


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a sheet before it is read; None or empty: told from the sheet itself."""

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Our column to theirs; several only for the destination, whose name is made of them."""
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    price_per: str | None = None
    """minute or second: what a price column is for that does not say it."""
    default_increments: tuple[int, int] = (1, 1)
    date_format: str | None = None
    """As strptime takes it, e.g. %d.%m.%Y; ISO dates are always understood."""
    zone: str = "UTC"
    """Of moments that do not say theirs."""
    end_date_included: bool = False
    """A row whose end is a day without a time counts on that day too."""
    codes_include_country: bool = False
    """The area codes beside a country code begin with it already."""
    currency_sign: str = ""
    """Stands before or behind prices, and is dropped."""
    sheet: str | None = None
    """Name of the worksheet of an XLSX file; else the first with a header."""
    others_by_name: bool = False
    """Columns that are not named are told from the header, as without a profile; else they are not read."""

    def __post_init__(self) -> None:
        if self.delimiter is not None and self.delimiter not in (",", ";", "\t", "|"):
            raise ConfigurationError("delimiter is one of , ; | or a tab")
        if self.decimal not in (None, ".", ","):
            raise ConfigurationError('decimal is "." or ","')
        if self.price_per not in (None, "minute", "second"):
            raise ConfigurationError('price_per is "minute" or "second"')
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigurationError(
                f"{self.zone[:40]!r} is no time zone; write e.g. Europe/Berlin"
            ) from None
        try:
            "".encode(self.encoding or "utf-8")
        except LookupError:
            raise ConfigurationError(
                f"{str(self.encoding)[:40]!r} is no encoding; e.g. utf-8, latin-1, windows-1252"
            ) from None


class HeaderRefused(InputRefused):
    """A header that is not understood. why: without what a command line alone can do about it."""

    def __init__(self, why: str, by_command: str = "", names: Sequence[str] = (), row: int = 0) -> None:
        super().__init__(f"{why}; {by_command}" if by_command else why)
        self.why, self.by_command = why, by_command
        self.names, self.row = tuple(names), row
        self.first: list[list[str]] = []
        """The rows of the sheet from this one on, as far as they were read."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column of a sheet is what."""

    names: tuple[str, ...]
    """The header as it is written."""
    columns: tuple[str | None, ...]
    """Ours, for each of theirs; None: not read."""
    currency: str | None = None
    """That a price column's name says, in capitals."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of columns that are not read."""
        return tuple(
            name for name, ours in zip(self.names, self.columns, strict=True) if ours is None and name
        )

    @property
    def mapped(self) -> tuple[tuple[str, str], ...]:
        """Ours and theirs, of the columns that are read."""
        pairs = zip(self.names, self.columns, strict=True)
        return tuple((ours, name) for name, ours in pairs if ours and ours not in REFUSAL_COLUMNS)


def profile_from_toml(text: str) -> Profile:
    """A profile as people write it; ConfigurationError says what to change."""
    try:
        values: dict[str, Any] = read_toml(text)
    except TOMLDecodeError as error:
        raise ConfigurationError(f"the profile is no TOML: {error}") from None
    known = [f.name for f in fields(Profile)]
    for name, value in values.items():
        if name not in known:
            raise ConfigurationError(f"the profile has no setting {name!r}; known are: {', '.join(known)}")
        wanted = dict if name == "columns" else bool if name in _YES_OR_NO else str
        if not isinstance(value, wanted):
            means = {dict: "a table: [columns]", bool: "true or false", str: "a text in quotes"}[wanted]
            raise ConfigurationError(f"the profile's {name} is {means}")
    if "columns" in values:
        values["columns"] = {ours: _theirs(ours, theirs) for ours, theirs in values["columns"].items()}
    if "default_increments" in values:
        try:
            values["default_increments"] = parse_increments(values["default_increments"])
        except InputRefused as refusal:
            raise ConfigurationError(f"the profile's default_increments: {refusal}") from None
    return Profile(**values)


def _theirs(ours: str, theirs: Any) -> tuple[str, ...]:
    if ours not in COLUMNS:
        raise ConfigurationError(f"the profile maps an unknown column {ours!r}; known are: {KNOWN}")
    names = (theirs,) if isinstance(theirs, str) else tuple(theirs) if isinstance(theirs, list) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f"the profile's column {ours} is a name in quotes")
    if len(names) > 1 and ours != "destination":
        raise ConfigurationError(f"the profile's column {ours} can be one column only")
    return names


def parse_increments(text: str) -> tuple[int, int]:
    """Initial and following seconds of a text like 60/60, 1+1, 30-6, or 60 for both."""
    found = re.fullmatch(r"([0-9]{1,5})(?:\s*[/+\-:]\s*([0-9]{1,5}))?", text.strip())
    if found is None:
        raise InputRefused(f"{text[:40]!r} is no pair of increments; write it like 60/60 or 30/6")
    initial, following = int(found[1]), int(found[2] or found[1])
    if not (1 <= initial <= 86_400 and 1 <= following <= 86_400):
        raise InputRefused("an increment is at least 1 second and at most a day")
    return initial, following


def layout_of(names: Sequence[str], profile: Profile) -> Layout:
    """The layout of a header; InputRefused says what is missing in it or named twice."""
    names = tuple(" ".join(name.split()) for name in names)
    try:
        columns = _columns(names, profile)
    except HeaderRefused as error:
        error.names = names
        raise
    return Layout(names, columns, _currency(names, columns))


def guessed_columns(names: Sequence[str]) -> dict[str, str]:
    """Ours and theirs, as far as single names tell; what is told twice is left out."""
    ours = [_FIELD_OF.get(_plain(name)) for name in names]
    return {x: name for x, name in zip(ours, names, strict=True) if x in COLUMNS and ours.count(x) == 1}


def _columns(names: tuple[str, ...], profile: Profile) -> tuple[str | None, ...]:
    columns = _by_profile(names, profile) if profile.columns else _guessed(names)
    if profile.columns and profile.others_by_name:
        said = {ours for ours in columns if ours}
        rest = ["" if ours else name for ours, name in zip(columns, names, strict=True)]
        guessed = (None if ours in said else ours for ours in _guessed(tuple(rest), frozenset(said)))
        columns = tuple(ours or other for ours, other in zip(columns, guessed, strict=True))
    _check_complete(names, columns)
    return columns


def _by_profile(names: tuple[str, ...], profile: Profile) -> tuple[str | None, ...]:
    lowered = [name.casefold() for name in names]
    columns: list[str | None] = [name if name in REFUSAL_COLUMNS else None for name in lowered]
    for ours, theirs in profile.columns.items():
        for name in theirs:
            wanted = " ".join(name.split()).casefold()
            if lowered.count(wanted) != 1:
                how = "is missing" if wanted not in lowered else "appears twice"
                raise HeaderRefused(
                    f"column {name!r}, which the profile maps to {ours}, {how} among {_seen(names)}"
                )
            columns[lowered.index(wanted)] = ours
    return tuple(columns)


def _guessed(names: tuple[str, ...], said: frozenset[str] = frozenset()) -> tuple[str | None, ...]:
    """said: what other columns are known to be."""
    columns = [None if ours in said else ours for ours in (_FIELD_OF.get(_plain(name)) for name in names)]
    destinations = [at for at, ours in enumerate(columns) if ours == "destination"]
    if len(destinations) > 1:

        def goodness(at: int) -> int:
            plain = _plain(names[at])
            return _BETTER_NAMES.index(plain) if plain in _BETTER_NAMES else len(_BETTER_NAMES)

        best = min(destinations, key=goodness)
        if [goodness(at) for at in destinations].count(goodness(best)) == 1:
            columns = [None if at in destinations and at != best else ours for at, ours in enumerate(columns)]
    _fill_in_need(names, columns, said)
    for ours in columns:
        if ours is not None and columns.count(ours) > 1:
            both = " and ".join(repr(names[at]) for at, other in enumerate(columns) if other == ours)
            why = f"the columns {both} may both be {ours}"
            raise HeaderRefused(why, "say by a profile (--profile) which one it is")
    return tuple(columns)


def _fill_in_need(names: tuple[str, ...], columns: list[str | None], said: frozenset[str]) -> None:
    instead = {"prefix": "country_code", "price_per_min": "price_per_second"}
    for ours, spellings in _IN_NEED.items():
        if {ours, instead.get(ours, ours)} & {*columns, *said}:
            continue
        known = spellings.split("|")
        found = [at for at, name in enumerate(names) if columns[at] is None and _plain(name) in known]
        if len(found) == 1:
            columns[found[0]] = ours


def _check_complete(names: tuple[str, ...], columns: tuple[str | None, ...]) -> None:
    if "prefix" not in columns and "country_code" not in columns:
        missing = "prefix"
    elif "destination" not in columns:
        missing = "destination"
    elif "price_per_min" not in columns and "price_per_second" not in columns:
        missing = "price_per_min"
    else:
        for one, other in (
            ("prefix", "country_code"),
            ("prefix", "codes"),
            ("price_per_min", "price_per_second"),
            ("increments", "initial_increment"),
            ("increments", "following_increment"),
            ("steps", "step_from"),
        ):
            if one in columns and other in columns:
                both = ", ".join(repr(names[columns.index(name)]) for name in (one, other))
                why = f"the columns {both} ({one}, {other}) contradict each other"
                raise HeaderRefused(why, "say by a profile (--profile) which of them counts")
        return
    why = f"column {missing!r} is missing among {_seen(names)}"
    raise HeaderRefused(
        why,
        "a profile says which of them is what: a file "
        f"like p.toml with the line  columns = {{ {_profile_line(names, columns)} }}  , given by "
        f"--profile p.toml; known columns: {KNOWN}",
    )


def _seen(names: Sequence[str]) -> str:
    shown = [repr(name[:40]) for name in names if name]
    more = f" and {len(shown) - _NAMES_SHOWN} more" if len(shown) > _NAMES_SHOWN else ""
    return ", ".join(shown[:_NAMES_SHOWN]) + more


def _profile_line(names: Sequence[str], columns: Sequence[str | None]) -> str:
    """What a profile would say of a header: what is known of it, and dots where a person must fill in."""
    found = {ours: name for ours, name in zip(columns, names, strict=True) if ours is not None}
    needed = (
        "country_code" if "country_code" in found else "prefix",
        "destination",
        "price_per_second" if "price_per_second" in found else "price_per_min",
    )
    wanted = dict.fromkeys((*needed, *(ours for ours in found if ours not in REFUSAL_COLUMNS)), "...")
    return ", ".join(
        f"{ours} = {json.dumps(found.get(ours, dots), ensure_ascii=False)}" for ours, dots in wanted.items()
    )


def _plain(name: str) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # EffectiveDate
    bare = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    words = re.sub(r"[^\w$€£₹]+|_", " ", bare).split()
    return " ".join(word.strip("$€£₹") for word in words if word not in _CURRENCIES and word not in _SIGNS)


def _currency(names: tuple[str, ...], columns: tuple[str | None, ...]) -> str | None:
    for name, ours in zip(names, columns, strict=True):
        if ours in ("price_per_min", "price_per_second"):
            words: list[str] = re.findall(r"[a-z]+|[$€£₹]", name.casefold())
            for word in words:
                if word in _CURRENCIES or word in _SIGNS:
                    return _SIGNS.get(word, word).upper()
    return None
