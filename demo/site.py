"""The sample operator: who has an account on which terms, which phones and DIDs they have, where calls go."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from lab.site import Did, Phone

DATA = Path(__file__).with_name("data")
DECKS = {
    "world": DATA / "rates.csv",
    "by-time": DATA / "rates-by-time.csv",
    "atlantic": DATA / "atlantic.csv",
}
"""Rate decks with the sheets that they are made from; the last is a carrier's."""
CALENDAR = "hours"
ZONE = ZoneInfo("Europe/Berlin")
PASSWORD = "lab-phone"  # noqa: S105  # phones of a private switch on 127.0.0.1


@dataclass(frozen=True, slots=True)
class Tariff:
    """The terms of an account's calls, on top of the rate deck."""

    name: str
    deck: str = "world"
    calendar: str = ""
    mark_up_percent: str = ""
    """Instead of a deck: on the prices of the account above."""
    mark_up_rounding: str = ""
    tax_percent: str = "0"
    slice_s: int = 10
    renew_before_s: int = 3
    speaks: bool = False
    """Whether callers hear their balance and minutes first."""


RETAIL = Tariff("retail", tax_percent="20", speaks=True)
BUSINESS = Tariff("business", tax_percent="20", slice_s=5, renew_before_s=2)
WHOLESALE = Tariff("wholesale")
INBOUND = Tariff("inbound")
BY_TIME = Tariff("by-time", deck="by-time", calendar=CALENDAR, slice_s=5, renew_before_s=2)
BALTIC_RETAIL = Tariff(
    "baltic-retail",
    deck="",
    calendar=CALENDAR,
    mark_up_percent="65",
    mark_up_rounding="0.01",
    tax_percent="20",
    slice_s=5,
    renew_before_s=2,
)
ATLANTIC = Tariff("atlantic", deck="atlantic")
TARIFFS = (RETAIL, BUSINESS, WHOLESALE, INBOUND, BY_TIME, BALTIC_RETAIL, ATLANTIC)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """An account, and the phone that belongs to it."""

    code: str
    name: str
    mode: str = "prepaid"
    kind: str = "customer"
    reseller: str = ""
    funds: str = ""
    credit_limit: str = ""
    tariff: Tariff = BUSINESS
    language: str = "en"
    phone: str = ""
    dids: tuple[str, ...] = ()
    bundle: str = ""
    calls_at_once: int = 0
    """A limit; 0: none."""


BUNDLE = "Kenya taster"
BUNDLE_S = 3
"""Small, so that a call is part bundle, part paid; where bundles are for sale it would be minutes."""
BUNDLE_DESTINATION = "254"

RESELLER = Subscriber("northwind", "Northwind Telecom", kind="reseller", tariff=WHOLESALE, funds="50.00")
ANNA = Subscriber("anna", "Anna Berg", reseller="northwind", funds="5.00", tariff=RETAIL, phone="2001")
BRUNO = Subscriber(
    "bruno", "Bruno & Fils", mode="postpaid", credit_limit="20.00", tariff=RETAIL, language="fr", phone="2002"
)
CHEN = Subscriber(
    "chen", "Chen Ltd", mode="hybrid", funds="0.05", credit_limit="1.00", phone="2003", calls_at_once=1
)
DORA = Subscriber("dora", "Dora Call Centre", reseller="northwind", phone="2004")
EMIL = Subscriber("emil", "Emil Novak", tariff=RETAIL, language="es", phone="2005")
FAY = Subscriber("fay", "Fay Ng", funds="0.001", phone="2006")
GITA = Subscriber("gita", "Gita Hotel", funds="2.00", phone="2008", dids=("33155500100", "33155500200"))
HUGO = Subscriber("hugo", "Hugo Trading", mode="postpaid", credit_limit="100.00", phone="2009")
BALTIC = Subscriber("baltic", "Baltic Telecom", kind="reseller", tariff=BY_TIME, funds="50.00")
INES = Subscriber(
    "ines", "Ines Kask", reseller="baltic", funds="5.00", tariff=BALTIC_RETAIL, phone="2010", bundle=BUNDLE
)
VERA = Subscriber("vera", "Vera Lang", phone="2011")
"""Pays by card."""
SUBSCRIBERS = (RESELLER, BALTIC, ANNA, BRUNO, CHEN, DORA, EMIL, FAY, GITA, HUGO, INES, VERA)

CARRIER = "Atlantic Carrier"
CARRIER_GATEWAYS = ("world", "brief")
"""The switch's gateways that lead to it, as the switch names them."""

UNKNOWN_PHONE = Phone("2007", "nobody", PASSWORD)
"""Its account code belongs to no account."""

BUSY_SUFFIX = "486"
RINGING_SUFFIX = "180"
HANGING_UP_SUFFIX = "200"

GITA_DID, GITA_FORWARDED_DID = GITA.dids
FORWARDED_TO = "441632960961"


def phones(did_port: int) -> list[Phone]:
    """All phones; did_port: where Gita's phone is answered."""
    made = [
        Phone(
            name=subscriber.phone,
            account_code=subscriber.code,
            password=PASSWORD,
            language=subscriber.language,
            port=did_port if subscriber is GITA else 0,
            open_on_failure=subscriber.mode != "prepaid",
        )
        for subscriber in SUBSCRIBERS
        if subscriber.phone
    ]
    return [*made, UNKNOWN_PHONE]


def dids() -> list[Did]:
    """The numbers that the carrier sends here."""
    return [
        Did(GITA_DID, phone=GITA.phone),
        Did(GITA_FORWARDED_DID, forward_to=FORWARDED_TO),
    ]


def calendar(evening_from: datetime) -> str:
    """A calendar whose evening begins at that moment of each day, and whose day twelve hours later."""
    begin = evening_from.astimezone(ZONE).time()
    evening, day = f"{begin:%H:%M:%S}", f"{begin.replace(hour=(begin.hour + 12) % 24):%H:%M:%S}"
    bands = {"day": f"{day}-{evening}", "evening": f"{evening}-{day}"}
    lines = [f'zone = "{ZONE.key}"']
    for name, hours in bands.items():
        lines += ["", "[[band]]", f'name = "{name}"', f'hours = "{hours}"']
    return "\n".join([*lines, ""])
