"""Jobs while the database is away: the log says so once, then every minute, and when it is back."""

import pytest
from structlog.testing import capture_logs

from pbxbill.app import open_application
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.errors import StoreUnavailable
from pbxbill.jobs.runner import WAIT_TOLD_S, JobRunner
from pbxbill.settings import Settings
from tests.store.billed_accounts import BilledAccounts


def test_a_database_that_is_away_is_told_of_once_a_minute(
    accounts: BilledAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = True

    def begin_due(runner: JobRunner) -> None:
        if away:
            raise StoreUnavailable("gone")

    monkeypatch.setattr(JobRunner, "_begin_due", begin_due)
    clock = ManualClock()
    with open_application(accounts.url, clock=clock) as application, capture_logs() as logs:
        runner = JobRunner(application, Settings(), ())
        for _ in range(2 * WAIT_TOLD_S):
            runner._begin_what_can_be()
            clock.advance(SECOND_US // 2)
        assert [x["event"] for x in logs] == ["jobs_wait_for_the_database"]
        runner._begin_what_can_be()
        assert len(logs) == 2
        away = False
        runner._begin_what_can_be()
        runner._begin_what_can_be()
    assert [x["event"] for x in logs][2:] == ["jobs_have_the_database_again"]
    assert "log_level" in logs[0]
