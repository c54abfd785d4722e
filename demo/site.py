"""The sample operator: who has an account on which terms, which phones and DIDs they have, where calls go."""

from dataclasses import dataclass
from pathlib import Path

from lab.site import Did, Phone

RATES = Path(__file__).with_name("data") / "rates.csv"
PASSWORD = "lab-phone"  # noqa: S105  # phones of a private switch on 127.0.0.1


@dataclass(frozen=True, slots=True)
class Tariff:
    """The terms of an account's calls, on top of the rate deck."""

    name: str
    tax_percent: str = "0"
    slice_s: int = 10
    renew_before_s: int = 3
    speaks: bool = False
    """Whether callers hear their balance and minutes first."""


RETAIL = Tariff("retail", tax_percent="20", speaks=True)
BUSINESS = Tariff("business", tax_percent="20", slice_s=5, renew_before_s=2)
WHOLESALE = Tariff("wholesale")
INBOUND = Tariff("inbound")
TARIFFS = (RETAIL, BUSINESS, WHOLESALE, INBOUND)


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


RESELLER = Subscriber("northwind", "Northwind Telecom", kind="reseller", tariff=WHOLESALE, funds="50.00")
ANNA = Subscriber("anna", "Anna Berg", reseller="northwind", funds="5.00", tariff=RETAIL, phone="2001")
BRUNO = Subscriber(
    "bruno", "Bruno & Fils", mode="postpaid", credit_limit="20.00", tariff=RETAIL, language="fr", phone="2002"
)
CHEN = Subscriber("chen", "Chen Ltd", mode="hybrid", funds="0.05", credit_limit="1.00", phone="2003")
DORA = Subscriber("dora", "Dora Call Centre", reseller="northwind", phone="2004")
EMIL = Subscriber("emil", "Emil Novak", tariff=RETAIL, language="es", phone="2005")
FAY = Subscriber("fay", "Fay Ng", funds="0.001", phone="2006")
GITA = Subscriber("gita", "Gita Hotel", funds="2.00", phone="2008", dids=("33155500100", "33155500200"))
HUGO = Subscriber("hugo", "Hugo Trading", mode="postpaid", credit_limit="100.00", phone="2009")
SUBSCRIBERS = (RESELLER, ANNA, BRUNO, CHEN, DORA, EMIL, FAY, GITA, HUGO)

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
