"""A Master.csv of Asterisk from file to posted charges: records a second and peak memory as it grows.

Each size is imported by a process of its own into a new database, so that its peak memory is the import's
alone. Beside it runs the same import a second time, in which every record is a duplicate.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from bench.figures import Figures, progress, run
from bench.postgres import measured_postgres
from bench.site import EUR, Increments, made_up_rates, open_site, temporary_sqlite
from pbxbill.clock import SystemClock
from pbxbill.mediation.importer import Importer
from pbxbill.mediation.mapping import load_mapping
from pbxbill.mediation.sources import FileSource
from pbxbill.store.driver import connect
from pbxbill.store.engine import migrate, open_engine

ABOUT = "Asterisk call records from file to posted charges"
SIZES = {"10k": 10_000, "100k": 100_000, "1M": 1_000_000}
QUICK_SIZES = {"1k": 1_000, "10k": 10_000}
ACCOUNTS = 1_000
PREFIXES = 10_000
FLAT = 2.0
MOST_MEMORY_MB = 400
TIMEOUT_S = 3_600


def write_master(path: Path, count: int) -> None:
    """Calls of a day or so, one a tenth of a second, four in five answered."""
    random = Random(count)
    prefixes = [rate.prefix for rate in made_up_rates(PREFIXES, Increments(60, 60))]
    with path.open("w") as file:
        for number in range(count):
            start_s = number // 10 % 80_000
            rings_s, talks_s = random.randrange(1, 30), random.randrange(1, 900)
            answered = random.random() < 0.8
            end_s = start_s + rings_s + (talks_s if answered else 0)
            answer = _moment(start_s + rings_s) if answered else ""
            file.write(
                f'"c{random.randrange(ACCOUNTS)}","4930111","{random.choice(prefixes)}5551234","from-internal",'
                f'"""Bench"" <4930111>","PJSIP/phone-{number:08x}","PJSIP/trunk-{number:08x}","Dial",'
                f'"PJSIP/x@trunk,60","{_moment(start_s)}","{answer}","{_moment(end_s)}",{end_s - start_s},'
                f'{talks_s if answered else 0},"{"ANSWERED" if answered else "NO ANSWER"}","DOCUMENTATION",'
                f'"1772323200.{number}",""\n'
            )


def _moment(second: int) -> str:
    return f"2026-03-01 {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def import_once(url: str, path: str) -> None:
    """What the child process does: import, and print what it took."""
    database = open_engine(url)
    importer = Importer(
        database, lambda: connect(url), SystemClock(), load_mapping("asterisk-csv", zone="UTC"), "bench"
    )
    found = []
    for _ in range(2):
        began, used_s = time.perf_counter(), time.process_time()
        made = importer.run(FileSource(Path(path), load_mapping("asterisk-csv", zone="UTC")))
        tally = made.tally
        found.append(
            {
                "took_s": time.perf_counter() - began,
                "cpu_s": time.process_time() - used_s,
                "posted": tally.rated + tally.unanswered,
                "duplicates": tally.duplicates,
                "quarantined": tally.quarantined,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    importer.close()
    database.dispose()
    print(json.dumps(found))


def measure_size(figures: Figures, name: str, url: str, count: int, path: Path) -> tuple[float, float]:
    """One size on a new database: seconds of the processor a record, and peak memory in MB."""
    progress(f"{name}: {count:,} records")
    # Money runs out for nobody: this measures posting, not what is owed below the floor.
    open_site(
        url,
        made_up_rates(PREFIXES, Increments(60, 60)),
        [f"c{number}" for number in range(ACCOUNTS)],
        credit_limit=10**7 * EUR,
    )
    child = subprocess.run(
        [sys.executable, "-m", "bench.mediation", "--import", url, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    if child.returncode:
        raise RuntimeError(child.stderr[-2000:])
    first, again = json.loads(child.stdout.splitlines()[-1])
    if first["posted"] != count or again["duplicates"] != count:
        raise RuntimeError(f"{count} records, of which {first} were posted and {again} known again")
    figures.add(
        name,
        per_s=count / first["took_s"],
        seconds=first["took_s"],
        cpu_us=first["cpu_s"] * 1e6 / count,
        peak_mb=first["peak_mb"],
        duplicates_per_s=count / again["took_s"],
    )
    return first["cpu_s"] / count, first["peak_mb"]


def measure(figures: Figures, quick: bool) -> None:
    """Both databases; PostgreSQL only where its programs are installed."""
    sizes = QUICK_SIZES if quick else SIZES
    with tempfile.TemporaryDirectory(prefix="pbxbill-bench-") as folder:
        files = {name: Path(folder) / f"Master-{name}.csv" for name in sizes}
        for name, count in sizes.items():
            write_master(files[name], count)
        results: dict[str, tuple[float, float]] = {}
        for name, count in sizes.items():
            with temporary_sqlite() as url:
                results[name] = measure_size(figures, f"sqlite.{name}", url, count, files[name])
        _judge(figures, "sqlite", results)
        with measured_postgres(figures) as server:
            if server is None:
                return
            for name, count in sizes.items():
                database = server.create_database()
                url = server.url(database)
                migrate(url)
                results[name] = measure_size(figures, f"postgresql.{name}", url, count, files[name])
                server.drop_database(database)
        _judge(figures, "postgresql", results)


def _judge(figures: Figures, database: str, results: dict[str, tuple[float, float]]) -> None:
    smallest, *_, largest = results.values()
    # By the processor's time: what else the machine does would decide otherwise.
    figures.at_most(f"{database}.dearer_as_it_grows", largest[0] / smallest[0], FLAT)
    figures.at_most(f"{database}.peak_mb", max(peak_mb for _, peak_mb in results.values()), MOST_MEMORY_MB)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--import"]:
        import_once(*sys.argv[2:])
    else:
        run("mediation", ABOUT, measure)
