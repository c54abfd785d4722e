"""Jobs of points, and of wrong codes that are forgiven."""

import structlog

from pbxbill.billing.codes.guessing import forget
from pbxbill.billing.points.points import accounts_to_tell, expire, expiring_accounts, tell_of_expiry
from pbxbill.billing.points.points_usage import certain_until, earn_by_usage, usage_rules, used_since
from pbxbill.billing.points.referrals import reward, to_reward
from pbxbill.errors import PbxbillError
from pbxbill.jobs.job import JobWork
from pbxbill.store.engine import reading, transaction
from pbxbill.store.payment_models import PointsRuleRow

_log = structlog.get_logger()


def usage(work: JobWork) -> str:
    """Points for what was used up to a day ago."""
    database = work.application.database
    until = certain_until(work.now_us)
    points = accounts = failed = 0
    for rule_id in usage_rules(database):
        last_id = 0
        while not work.stop():
            with transaction(reading(database)) as session:
                rule = session.get_one(PointsRuleRow, rule_id)
                page = used_since(session, rule, until=until, after_id=last_id)
            if not page:
                break
            for account_id, amount in page:
                last_id = account_id
                if not amount or work.stop():
                    continue
                try:
                    with work.billing() as (session, books):
                        points += earn_by_usage(session, books, rule_id, account_id, until, work.now_us)
                    accounts += 1
                except PbxbillError as error:
                    failed += 1
                    _log.warning("no_points_for_usage", account=account_id, error=str(error))
            work.tell(accounts)
    return _said(points, f"points for the usage of {accounts} accounts", failed)


def expiry(work: JobWork) -> str:
    """Points whose time is over go; who has some that go soon is told."""
    database = work.application.database
    gone = told = failed = 0
    for account_id, unit in expiring_accounts(database, work.now_us):
        if work.stop():
            break
        try:
            with work.billing() as (session, books):
                gone += expire(session, books, account_id, unit, work.now_us)
        except PbxbillError as error:
            failed += 1
            _log.warning("points_not_expired", account=account_id, error=str(error))
    for account_id, unit in accounts_to_tell(database, work.now_us):
        if work.stop():
            break
        with transaction(database) as session:
            told += bool(tell_of_expiry(session, account_id, unit, work.now_us))
    parts = [f"{gone} points expired" if gone else "", f"{told} accounts told" if told else ""]
    return _said(gone + told, ", ".join(filter(None, parts)), failed, counted=False)


def referrals(work: JobWork) -> str:
    """Points for those who brought others."""
    points = failed = 0
    for account_id in to_reward(work.application.database):
        if work.stop():
            break
        try:
            with work.billing() as (session, books):
                points += reward(session, books, account_id, work.now_us)
        except PbxbillError as error:
            failed += 1
            _log.warning("referral_not_rewarded", account=account_id, error=str(error))
    return _said(points, "points for referrals", failed)


def guesses(work: JobWork) -> str:
    """Wrong codes and PINs of long ago."""
    with transaction(work.application.database) as session:
        count = forget(session, work.now_us)
    return f"{count} wrong codes forgiven" if count else ""


def _said(count: int, words: str, failed: int, *, counted: bool = True) -> str:
    told = f"{count} {words}" if counted and count else words if count else ""
    return "; ".join(filter(None, (told, f"{failed} accounts failed" if failed else "")))
