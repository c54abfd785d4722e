"""The job of dunning: hourly, since each account's day begins when it does where the account is."""

from pbxbill.billing.dunning.dunning_runs import run
from pbxbill.jobs.job import JobWork


def dunning(work: JobWork) -> str:
    """Do the levels that are due, charge what is late, end promises whose day is over."""
    done = run(work.application.database, work.books, work.application.clock, work.stop, work.tell)
    return done.told()
