"""jobs: what happens by itself: the process that runs it all, the list, the history, one job by hand."""

import os
import sys
import threading

import click
import structlog
from sqlalchemy import select

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.daemons import metrics_of, stop_with_input, stopped_by_signals, supervised_option
from pbxbill.cli.output import json_option, moment, print_json, print_table, progress
from pbxbill.errors import InputRefused
from pbxbill.jobs.job import Job
from pbxbill.jobs.runner import JobRunner, register
from pbxbill.jobs.schedule import JOBS
from pbxbill.logs import configure_logs
from pbxbill.notice import ALIVE, READY, STOPPING, Notifier
from pbxbill.store.engine import transaction
from pbxbill.store.jobs import let_job_run
from pbxbill.store.notice_models import JobRow, JobRunRow

_log = structlog.get_logger()


@click.group(invoke_without_command=True)
@supervised_option
@click.pass_context
def jobs(command: click.Context, supervised: bool) -> None:
    """Run what happens by itself, until stopped; any number of machines may run it, each job runs once."""
    if command.invoked_subcommand is None:
        context = command.find_object(Context)
        assert context is not None
        _serve(context, supervised=supervised)


def _serve(context: Context, *, supervised: bool) -> None:
    settings = context.settings
    configure_logs(settings.log.level, settings.log.format, "jobs")
    notifier = Notifier()
    ready = False

    def beat(status: str) -> None:
        nonlocal ready
        notifier.send(*(() if ready else (READY,)), ALIVE, f"STATUS={status}")
        ready = True

    with context.application() as application:
        runner = JobRunner(application, settings, JOBS)

        def stop() -> None:
            notifier.send(STOPPING)
            runner.stop()

        with stopped_by_signals(stop), metrics_of(settings, settings.jobs_metrics_port):
            if supervised:
                threading.Thread(target=stop_with_input, args=(stop,), name="supervisor", daemon=True).start()
            _log.info("jobs_run", pid=os.getpid(), jobs=len(JOBS))
            runner.serve(beat, notifier.interval_s)
    _log.info("jobs_stopped")


@jobs.command("list")
@json_option
@pass_context
def list_jobs(context: Context, as_json: bool) -> None:
    """List jobs: how often they run, when next, who runs them now, and how they went last."""
    with context.application() as application:
        register(application.database, JOBS, application.clock.now_us())
        with transaction(application.database) as session:
            rows = {row.name: row for row in session.scalars(select(JobRow))}
            newest = {
                job.name: session.scalar(
                    select(JobRunRow).where(JobRunRow.job == job.name).order_by(JobRunRow.id.desc()).limit(1)
                )
                for job in JOBS
            }
    shown = [_shown(job, rows[job.name], newest[job.name]) for job in JOBS]
    if as_json:
        print_json(shown)
        return
    titles = ("Job", "State", "Every", "Next", "Last", "What it last did", "What it is for")
    keys = ("job", "state", "every", "next", "last", "detail", "about")
    print_table("", titles, ([row[key] for key in keys] for row in shown))


def _shown(job: Job, row: JobRow, last: JobRunRow | None) -> dict[str, object]:
    state = "off" if not row.enabled else f"runs on {row.holder}" if row.holder else "waits"
    how = "" if last is None else f"{last.outcome}: {last.detail}" if last.outcome != "done" else last.detail
    return {
        "job": job.name,
        "state": state,
        "every": _every(job.every_s),
        "next": moment(row.next_us) if row.enabled else "",
        "last": "" if row.last_us is None else moment(row.last_us),
        "detail": how,
        "failures": row.failures,
        "about": job.about,
    }


def _every(seconds: int) -> str:
    for length, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds % length == 0:
            return f"{seconds // length} {name}"
    return f"{seconds} s"


@jobs.command()
@click.argument("name", required=False)
@click.option("--limit", "most", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@pass_context
def history(context: Context, /, name: str | None, *, most: int, as_json: bool) -> None:
    """List runs that did something or failed, the newest first; of one job, or of all."""
    query = select(JobRunRow).order_by(JobRunRow.id.desc()).limit(most)
    if name is not None:
        query = query.where(JobRunRow.job == _known(name).name)
    with context.application() as application, transaction(application.database) as session:
        shown = [
            {
                "job": row.job,
                "started": moment(row.started_us),
                "ended": moment(row.ended_us),
                "outcome": row.outcome,
                "detail": row.detail,
                "holder": row.holder,
            }
            for row in session.scalars(query)
        ]
    if as_json:
        print_json(shown)
        return
    titles = ("Job", "Started", "Ended", "Outcome", "How it went")
    keys = ("job", "started", "ended", "outcome", "detail")
    print_table("", titles, ([row[key] for key in keys] for row in shown))


@jobs.command("run")
@click.argument("name")
@pass_context
def run_job(context: Context, /, name: str) -> None:
    """Run a job now, whether or not it is due; one that runs elsewhere is left alone."""
    job = _known(name)
    configure_logs(context.settings.log.level, context.settings.log.format, "jobs")
    with context.application() as application, progress(job.name, "done") as tell:
        runner = JobRunner(application, context.settings, JOBS, tell)
        with stopped_by_signals(runner.stop):
            ran = runner.run_now(name)
        runner.close()
    if ran.outcome == "busy":
        click.echo(f"{name} runs already; `pbxbill jobs list` shows where", err=True)
        sys.exit(1)
    click.echo(
        f"{name}: {ran.detail or 'nothing was due'}" + (" (stopped)" if ran.outcome == "stopped" else "")
    )
    if ran.outcome == "failed":
        sys.exit(1)


@jobs.command()
@click.argument("name")
@pass_context
def enable(context: Context, name: str) -> None:
    """Let a job run by itself again."""
    _switch(context, name, enabled=True)


@jobs.command()
@click.argument("name")
@pass_context
def disable(context: Context, name: str) -> None:
    """Let a job no longer run by itself; by hand it can be run."""
    _switch(context, name, enabled=False)


def _switch(context: Context, name: str, *, enabled: bool) -> None:
    job = _known(name)
    with context.application() as application:
        register(application.database, JOBS, application.clock.now_us())
        with transaction(application.database) as session:
            let_job_run(session, job.name, enabled=enabled)
    click.echo(f"{name} {'runs by itself' if enabled else 'no longer runs by itself'}")


def _known(name: str) -> Job:
    found = next((job for job in JOBS if job.name == name), None)
    if found is None:
        raise InputRefused(f"there is no job {name[:40]!r}; there are: {', '.join(job.name for job in JOBS)}")
    return found


COMMANDS = (jobs,)
