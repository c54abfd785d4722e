"""mediate and mediation: call records from files, and what came of them."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
import structlog
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import select

from pbxbill.app import Application
from pbxbill.charging.reconcile import UNNAMED_SWITCH
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.logs import configure_logs
from pbxbill.mediation.importer import Importer, Source, left_out
from pbxbill.mediation.mapping import Mapping, built_in_formats, format_text, load_mapping
from pbxbill.mediation.moments import AMBIGUOUS_RULES
from pbxbill.mediation.reading import STANDARD_INPUT
from pbxbill.mediation.report import report_of, report_of_row
from pbxbill.mediation.runs import Run, state_at
from pbxbill.mediation.sources import FileSource, FolderSource, StreamSource
from pbxbill.metrics import metrics_server
from pbxbill.store.engine import reading, transaction
from pbxbill.store.mediation_models import MediationRunRow

EXIT_QUARANTINED = 3
EXIT_STOPPED = 130
WATCH_S = 2


@click.command()
@click.argument("source", metavar="FILE|FOLDER|-")
@click.option(
    "--format",
    "format_name",
    required=True,
    metavar="FORMAT",
    help=f"{', '.join(built_in_formats())}, or a mapping file (TOML).",
)
@click.option(
    "--switch",
    default=UNNAMED_SWITCH,
    help="Name of the switch that wrote it; without it, a call that any daemon charged is not charged again.",
)
@click.option("--zone", help="Time zone of local times, e.g. Europe/Berlin.")
@click.option(
    "--ambiguous",
    type=click.Choice(AMBIGUOUS_RULES),
    help="Which one a local time means that came twice, when clocks were put back.",
)
@click.option("--watch", is_flag=True, help="Go on with what is added to the file or folder, until stopped.")
@click.option(
    "--settle-s",
    default=5,
    show_default=True,
    type=click.IntRange(0, 3600),
    help="A folder's file is finished when nobody has written to it for so long.",
)
@click.option("--metrics-port", type=click.IntRange(1, 65_535), help="With --watch: serve metrics there.")
@click.option("--dry-run", is_flag=True, help="Post nothing; say what would come of it.")
@json_option
@pass_context
def mediate(context: Context, /, source: str, *, as_json: bool, **options: Any) -> None:
    """Import call and usage records: rate each at the tariff of its time and post it once."""
    mapping = load_mapping(options["format_name"], zone=options["zone"], ambiguous=options["ambiguous"])
    if options["watch"] and (source == STANDARD_INPUT or options["dry_run"]):
        raise InputRefused("--watch goes with a file or a folder, and not with --dry-run")
    _refuse_nameless(source)
    if not structlog.is_configured():
        log = context.settings.log
        configure_logs(log.level, log.format, "mediate")
    with context.application() as application:
        importer = Importer(
            application.database, application.connect, application.clock, mapping, options["switch"]
        )
        try:
            with _stopped_by_signals(importer.stopping):
                if options["watch"]:
                    port = options["metrics_port"]
                    with metrics_server(context.settings.metrics.host, port) if port else nullcontext():
                        _watch(application, importer, source, mapping, options["settle_s"])
                    return
                made = _source(application, source, mapping, options["settle_s"])
                run = _run(importer, made, dry_run=options["dry_run"])
        finally:
            importer.close()
        report = _report(application, run, made, importer.stopping.is_set())
    show_report(report, as_json=as_json)
    if importer.stopping.is_set():
        sys.exit(EXIT_STOPPED)
    if run.tally.quarantined or made.rejected:
        sys.exit(EXIT_QUARANTINED)


def _refuse_nameless(source: str) -> None:
    path = str(Path(source).absolute())
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InputRefused(
            f"{ascii(path)[1:-1]}: its name is no UTF-8; rename it, or give it through standard input"
        ) from None


def _source(application: Application, name: str, mapping: Mapping, settle_s: int) -> Source:
    if name == STANDARD_INPUT:
        return StreamSource(sys.stdin.buffer, mapping)
    path = Path(name)
    if path.is_dir():
        return FolderSource(path, mapping, application.clock, settle_s)
    return FileSource(path, mapping)


def _run(importer: Importer, source: Source, *, dry_run: bool) -> Run:
    size = source.size()
    shown = sys.stderr.isatty() and size is not None
    columns = (TextColumn("[progress.description]{task.description}"), BarColumn(), DownloadColumn())
    from rich.console import Console

    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not shown
    ) as progress:
        task = progress.add_task("reading", total=size)
        behind: dict[str, int] = {}

        def on_progress(run: Run) -> None:
            behind[run.checkpoint.file] = run.checkpoint.position
            progress.update(task, completed=sum(behind.values()), description=f"{run.tally.read} records")

        return importer.run(source, dry_run=dry_run, on_progress=on_progress)


@contextmanager
def _stopped_by_signals(stopping: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after the batch it is in; once more ends it at once."""

    def stop(number: int, frame: Any) -> None:  # noqa: ARG001 what a handler is given
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signalled, handler in before.items():
            signal.signal(signalled, handler)


def _watch(application: Application, importer: Importer, name: str, mapping: Mapping, settle_s: int) -> None:
    path = Path(name)
    step: Callable[[], Run | None]
    if path.is_dir():

        def step() -> Run | None:
            folder = FolderSource(path, mapping, application.clock, settle_s)
            return importer.run(folder) if folder.finished() else None
    else:

        def step() -> Run | None:
            # A log that is rotated is gone for a moment.
            if not path.exists():
                return None
            return importer.run(FileSource(path, mapping, growing=True), follow=True)

    read = -1
    while not importer.stopping.is_set():
        run = step()
        if run is not None and (run.tally.read != read or path.is_dir()):
            read = run.tally.read
            click.echo(_line(run))
        importer.stopping.wait(WATCH_S)


def _line(run: Run) -> str:
    tally = run.tally
    return (
        f"run {run.id}: read {tally.read}, rated {tally.rated}, unanswered {tally.unanswered}, "
        f"duplicates {tally.duplicates}, filtered {tally.filtered}, quarantined {tally.quarantined}"
    )


def _report(application: Application, run: Run, source: Source, stopped: bool) -> dict[str, Any]:
    with transaction(reading(application.database)) as session:
        if run.id:
            return report_of_row(session, run.id, application.clock.now_us())
        return report_of(session, run, "stopped" if stopped else "dry run", left_out(source))


def show_report(report: dict[str, Any], *, as_json: bool) -> None:
    """A run's report, as a person or a program reads it."""
    report = {key: value for key, value in report.items() if key != "mapping"}
    for key in ("started", "ended"):
        if f"{key}_us" in report:
            report[key] = moment(report.pop(f"{key}_us"))
    if as_json:
        print_json(report)
        return
    click.echo(f"run {report['run']} of {report['source']}: {report['state']}, line {report['line']}")
    if report["detail"]:
        click.echo(report["detail"])
    counts = ("read", "filtered", "rated", "unanswered", "duplicates", "quarantined")
    print_table("", ("Records", ">"), ((name, f"{report[name]:,}") for name in counts))
    if report["reasons"]:
        print_table("", ("In quarantine for", ">Records"), sorted(report["reasons"].items()))
    if report["money"]:
        keys = ("account", "records", "total", "uncollected", "unit")
        titles = ("Account", ">Records", ">Charged", ">Uncollected", "")
        print_table("", titles, ([x[key] for key in keys] for x in report["money"]))


@click.group()
def mediation() -> None:
    """Runs of `pbxbill mediate`."""


@mediation.command("runs")
@click.option("--limit", "most", default=20, show_default=True, type=click.IntRange(1, 10_000))
@json_option
@pass_context
def runs(context: Context, most: int, as_json: bool) -> None:
    """List runs, the newest first."""
    with context.application() as application, transaction(reading(application.database)) as session:
        state = state_at(application.clock.now_us())
        newest = select(MediationRunRow, state).order_by(MediationRunRow.id.desc()).limit(most)
        rows = [
            {
                "run": row.id,
                "started": moment(row.started_us),
                "source": row.source,
                "state": state,
                "read": row.read,
                "rated": row.rated,
                "duplicates": row.duplicates,
                "quarantined": row.quarantined,
            }
            for row, state in session.execute(newest)
        ]
    if as_json:
        print_json(rows)
        return
    titles = (">Run", "Started", "Source", "State", ">Read", ">Rated", ">Duplicates", ">Quarantined")
    print_table("", titles, (list(row.values()) for row in rows))


@mediation.command("report")
@click.argument("run_id", metavar="RUN", type=int)
@json_option
@pass_context
def report(context: Context, run_id: int, as_json: bool) -> None:
    """Show what a run did."""
    with context.application() as application, transaction(reading(application.database)) as session:
        found = report_of_row(session, run_id, application.clock.now_us())
    show_report(found, as_json=as_json)


@mediation.command("format")
@click.argument("name", type=click.Choice(built_in_formats()))
def show_format(name: str) -> None:
    """Print a built-in format: a mapping to begin one of your own with."""
    click.echo(format_text(name), nl=False)


COMMANDS = (mediate, mediation)
