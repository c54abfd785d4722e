"""The job of accounts' life-cycles."""

from pbxbill.billing.life_cycle.life_cycle_runs import run_life_cycles
from pbxbill.jobs.job import JobWork


def life_cycle(work: JobWork) -> str:
    """Alert, bar and end accounts as their life-cycles say; let charges of inactive ones rest, and go on."""
    application = work.application
    run = run_life_cycles(application.database, work.billing, application.clock, work.stop, work.tell)
    return run.said
