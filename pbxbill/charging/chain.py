"""Who is charged for a call, at which levels, by which rates: identification and rating of a request."""

from itertools import pairwise
from typing import NamedTuple

from pbxbill.charging.events import Authorize, DenialReason, Direction
from pbxbill.charging.levels import (
    NOTHING_HELD,
    CountedCall,
    dialling_rule,
    level_terms,
    paying_wallets,
)
from pbxbill.charging.pricing import LevelTerms, PayingWallet, Rated
from pbxbill.charging.state import ChargedAccount, ChargingState, KnownEndpoint, Payer
from pbxbill.money import Unit, format_amount
from pbxbill.rating.destination import is_emergency, to_e164
from pbxbill.rating.mark_up import marked_up
from pbxbill.rating.rater import charge, opening
from pbxbill.rating.tariff import Tariff

FREE = Tariff(version_id=0, name="", deck_id=0, unit=Unit(""))
"""Terms of a call that no level pays for: to a DID without an inbound tariff, or to an emergency number."""

LONGEST_EMERGENCY_NUMBER = 12
"""As dialled, with separators; what is longer need not be looked at."""

NO_NUMBER = "0"
"""Rated where a service is used that calls nobody: only a default route has it as a prefix."""

COMPARED_US = 60_000_000
"""Whether a call makes a loss is told by its first minute."""


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
    endpoint: KnownEndpoint
    emergency: bool = False


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


def identify(command: Authorize, state: ChargingState) -> tuple[ChargedAccount, str, KnownEndpoint] | None:
    """The account that a request is charged to, the number without its technical prefix, the endpoint."""
    for key in endpoint_keys(command):
        for endpoint in state.endpoints.get(key, ()):
            account = state.accounts.get(endpoint.account_id)
            if account is not None and command.dialled.startswith(endpoint.tech_prefix):
                return account, command.dialled.removeprefix(endpoint.tech_prefix), endpoint
    return _in_need(command, state)


def _in_need(command: Authorize, state: ChargingState) -> tuple[ChargedAccount, str, KnownEndpoint] | None:
    """Whoever calls for help need not know the technical prefix."""
    if command.direction is Direction.OUTBOUND and len(command.dialled) <= LONGEST_EMERGENCY_NUMBER:
        for key in endpoint_keys(command):
            for endpoint in state.endpoints.get(key, ()):
                account = state.accounts.get(endpoint.account_id)
                if account is not None and is_emergency(command.dialled, dialling_rule(account, state)):
                    return account, command.dialled, endpoint
    return None


def rated_chain(command: Authorize, state: ChargingState) -> Chain | Refusal:
    identified = identify(command, state)
    if identified is None:
        return Refusal(DenialReason.USER_UNKNOWN, None, "", "no endpoint matches")
    account, dialled, endpoint = identified
    rule = dialling_rule(account, state)
    inbound = command.direction is Direction.INBOUND
    if inbound:
        called = to_e164(command.did)
    else:
        if len(dialled) <= LONGEST_EMERGENCY_NUMBER and not command.service and is_emergency(dialled, rule):
            digits = to_e164(dialled, rule) or "".join([digit for digit in dialled if digit.isdigit()])
            return Chain(account, digits, [], endpoint, emergency=True)
        called = NO_NUMBER if command.service and not dialled else to_e164(dialled, rule)
    if called is None:
        return Refusal(DenialReason.RATING_FAILED, account, "", "the dialled digits are no number")
    levels = _levels(command, account, endpoint, called, state)
    if isinstance(levels, Refusal):
        return levels
    return Chain(account, called, levels, endpoint)


def _levels(
    command: Authorize,
    account: ChargedAccount,
    endpoint: KnownEndpoint,
    called: str,
    state: ChargingState,
) -> list[Rated] | Refusal:
    payers = _payers(command, account, endpoint, state)
    if isinstance(payers, str):
        return Refusal(DenialReason.END_USER_SERVICE_DENIED, account, called, payers)
    counted = state.catalogue.offers.counted
    call: CountedCall | None = None
    levels: list[Rated] = []
    above: Rated | None = None
    for payer in payers:  # from above, since a price may be made from the one above
        rated = _rated(payer, called, command.at_us, above, state)
        if isinstance(rated, str):
            reason = (
                DenialReason.RATING_FAILED
                if rated.startswith("no rate")
                else DenialReason.END_USER_SERVICE_DENIED
            )
            return Refusal(reason, account, called, rated)
        if counted or rated.terms is not None:
            call = call or CountedCall(called, dialling_rule(account, state), command.at_us, endpoint.id)
            rated = _with_terms(rated, call, state)
        levels.append(rated)
        above = rated
    levels.reverse()
    return levels


def _payers(
    command: Authorize, account: ChargedAccount, endpoint: KnownEndpoint, state: ChargingState
) -> tuple[Payer, ...] | str:
    """Who pays, the highest level first; or why nobody can."""
    inbound = command.direction is Direction.INBOUND
    # Of a call to the outside the account alone decides it: that is reckoned once.
    remembered = None if inbound or command.service else state.payers
    known = None if remembered is None else remembered.get(account.id)
    if known is not None:
        return known
    found: list[Payer] = []
    for account_id in reversed(account.chain):
        member = state.accounts.get(account_id)
        if member is None:
            return "an account has no wallet"
        tariff_id = _tariff_id(command, member, endpoint if member is account else None, state)
        if tariff_id is None and (inbound or (command.service and member is not account)):
            continue  # free at this level: calls to its DIDs, or a service of accounts below
        tariff = None if tariff_id is None else state.catalogue.current_tariff(tariff_id)
        if tariff is None:
            return f"account {member.code} has no tariff"
        wallet = None if member.wallet_order is not None else state.wallet(member.id, tariff.unit.code)
        found.append(Payer(member, tariff, wallet))
    payers = tuple(found)
    if remembered is not None:
        remembered[account.id] = payers
    return payers


def _tariff_id(
    command: Authorize, member: ChargedAccount, endpoint: KnownEndpoint | None, state: ChargingState
) -> int | None:
    """endpoint: that named the account, where this is the account's own level."""
    if command.service:
        return state.catalogue.offers.service_tariffs.get(member.id, {}).get(command.service)
    if command.direction is not Direction.INBOUND:
        return member.tariff_id
    of_did = None if endpoint is None else endpoint.tariff_id
    return member.inbound_tariff_id if of_did is None else of_did


def _rated(payer: Payer, called: str, at_us: int, above: Rated | None, state: ChargingState) -> Rated | str:
    account, tariff, wallet = payer
    terms = None
    if wallet is None:
        wallets = paying_wallets(account, tariff, at_us, state)
        if isinstance(wallets, str):
            return wallets
        wallet = wallets[0].wallet
        if len(wallets) > 1 or wallets[0].exchange is not None:
            terms = LevelTerms(wallets)
    if tariff.mark_up is not None:
        if above is None:
            return f"no rate above account {account.code} that tariff {tariff.name} could mark up"
        return Rated(account, wallet, tariff, marked_up(above.rate, tariff.mark_up, above.tariff), terms)
    rate = state.catalogue.find_rate(tariff.deck_id, called, at_us)
    if rate is None:
        return f"no rate for {called} in tariff {tariff.name} of account {account.code}"
    plain = terms is None and rate.terms is None
    return Rated(account, wallet, tariff, rate, terms, opening(rate, tariff) if plain else None)


def _with_terms(rated: Rated, call: CountedCall, state: ChargingState) -> Rated:
    account, wallet, tariff, _, terms, known = rated
    paying = (PayingWallet(wallet, tariff.unit),) if terms is None else terms.wallets
    terms = level_terms(account, tariff, paying, call, NOTHING_HELD, state)
    return rated._replace(terms=terms, opening=known if terms is None else None)


def loss_making(levels: list[Rated], at_us: int) -> str | None:
    """Which level would be charged less than the one above it, where its tariff refuses that."""
    for below, above in pairwise(levels):
        if not below.tariff.refuse_loss or below.tariff.unit != above.tariff.unit:
            continue
        brings = charge(below.rate, below.tariff, COMPARED_US, at_us).net
        costs = charge(above.rate, above.tariff, COMPARED_US, at_us).net
        if brings < costs:
            unit = below.tariff.unit
            return (
                f"a minute brings account {above.account.code} {format_amount(brings, unit)} {unit.code} "
                f"and costs it {format_amount(costs, unit)} {unit.code}"
            )
    return None
