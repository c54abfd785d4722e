"""Jobs of reports: roll-ups of calls, reports in the background, those that make themselves."""

from pbxbill.jobs.job import JobWork
from pbxbill.reports.rollups import check_counts, roll_up
from pbxbill.reports.run_maker import make_waiting
from pbxbill.reports.runs import anything_waits, forget_old
from pbxbill.reports.schedules import start_due


def rollups(work: JobWork) -> str:
    """Roll up hours that are over, and those of which something was written late."""
    database = work.application.database
    wrong = check_counts(database, work.now_us)
    done = roll_up(database, work.now_us, stop=work.stop, tell=work.tell)
    found = f"{wrong} hours lacked calls; " if wrong else ""
    return f"{found}{done.hours} hours, {done.days} days, {done.months} months" if done.hours or wrong else ""


def reports(work: JobWork) -> str:
    """Make reports that somebody waits for."""
    made = make_waiting(work.application.database, work.application.clock, work.stop)
    return f"{made} reports made" if made else ""


def reports_wait(work: JobWork) -> bool:
    """Whether somebody does."""
    return anything_waits(work.application.database, work.now_us)


def scheduled(work: JobWork) -> str:
    """Ask for the reports of periods that are over; forget files that were kept long enough."""
    database = work.application.database
    started, gone = start_due(database, work.now_us), forget_old(database, work.now_us)
    parts = [f"{started} reports asked for" if started else "", f"{gone} files dropped" if gone else ""]
    return ", ".join(filter(None, parts))
