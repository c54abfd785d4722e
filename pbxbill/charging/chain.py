"""Who is charged for a call, at which levels, by which rates: identification and rating of a request."""

from typing import NamedTuple

from pbxbill.charging.events import Authorize, DenialReason, Direction
from pbxbill.charging.state import ChargedAccount, ChargingState, Wallet
from pbxbill.money import Unit
from pbxbill.rating.destination import to_e164
from pbxbill.rating.tariff import Rate, Tariff

FREE = Tariff(version_id=0, name="", deck_id=0, unit=Unit(""))
"""Terms of a call that no level pays for: to a DID without an inbound tariff."""


class Rated(NamedTuple):
    """One level of an account chain with the terms that a call is charged by."""

    account: ChargedAccount
    wallet: Wallet
    tariff: Tariff
    rate: Rate


class Refusal(NamedTuple):
    """Why a request cannot be charged."""

    reason: DenialReason
    account: ChargedAccount | None
    called: str
    detail: str


class Chain(NamedTuple):
    """The charged account, the E.164 digits called, and every level that pays."""

    account: ChargedAccount
    called: str
    levels: list[Rated]


def endpoint_keys(command: Authorize) -> list[tuple[str, str]]:
    """The (kind, value) of the endpoints that may identify a request's account, in their order.

    A caller ID is what the caller says: it counts only where the switch knows no account code.
    """
    keys = []
    if command.did and command.direction is Direction.INBOUND:
        keys.append(("did", command.did))
    if command.account_code:
        keys.append(("sip", command.account_code))
    if command.source_ip:
        keys.append(("ip", command.source_ip))
    if command.caller_id and not command.account_code:
        keys.append(("caller_id", command.caller_id))
    return keys


def identify(command: Authorize, state: ChargingState) -> tuple[ChargedAccount, str] | None:
    """The account that a request is charged to, and the number without its technical prefix."""
    for key in endpoint_keys(command):
        for tech_prefix, account_id in state.endpoints.get(key, ()):
            account = state.accounts.get(account_id)
            if account is not None and command.dialled.startswith(tech_prefix):
                return account, command.dialled.removeprefix(tech_prefix)
    return None


def rated_chain(command: Authorize, state: ChargingState) -> Chain | Refusal:
    identified = identify(command, state)
    if identified is None:
        return Refusal(DenialReason.USER_UNKNOWN, None, "", "no endpoint matches")
    account, dialled = identified
    inbound = command.direction is Direction.INBOUND
    called = to_e164(command.did if inbound else dialled)
    if called is None:
        return Refusal(DenialReason.RATING_FAILED, account, "", "the dialled digits are no number")
    levels: list[Rated] = []
    for account_id in account.chain:
        member = state.accounts.get(account_id)
        if member is None:
            return Refusal(DenialReason.END_USER_SERVICE_DENIED, account, called, "an account has no wallet")
        if inbound and member.inbound_tariff_id is None:
            continue  # calls to its DIDs are free at this level
        rated = _rated(member, called, command.at_us, inbound, state)
        if isinstance(rated, str):
            reason = (
                DenialReason.RATING_FAILED
                if rated.startswith("no rate")
                else DenialReason.END_USER_SERVICE_DENIED
            )
            return Refusal(reason, account, called, rated)
        levels.append(rated)
    return Chain(account, called, levels)


def _rated(
    account: ChargedAccount, called: str, at_us: int, inbound: bool, state: ChargingState
) -> Rated | str:
    tariff_id = account.inbound_tariff_id if inbound else account.tariff_id
    tariff = None if tariff_id is None else state.catalogue.current_tariff(tariff_id)
    if tariff is None:
        return f"account {account.code} has no tariff"
    wallet = state.wallet(account.id, tariff.unit.code)
    if wallet is None:
        return f"account {account.code} has no {tariff.unit.code} wallet"
    rate = state.catalogue.find_rate(tariff.deck_id, called, at_us)
    if rate is None:
        return f"no rate for {called} in tariff {tariff.name} of account {account.code}"
    return Rated(account, wallet, tariff, rate)
