"""What rates import does with rows that it cannot use: told, kept aside as CSV to be corrected, counted."""

from pathlib import Path
from typing import Any

import click

from pbxbill.rating.sheet import RateSheet, RefusedRow, write_refused
from pbxbill.store.rate_stage import RateStage

REFUSED_SHOWN = 10
REFUSED_IN_JSON = 1_000


def keep_aside(file: Path, sheet: RateSheet, stage: RateStage) -> Path | None:
    """Write them beside the file; None if there are none, or it cannot be written."""
    if not stage.refused_count:
        return None
    aside = file.with_suffix(".refused.csv")
    # A mark says that it is UTF-8, whatever a profile says of the sheet.
    encoding = "utf-8" if sheet.encoding == "utf-8" else "utf-8-sig"
    try:
        with aside.open("w", encoding=encoding, newline="") as stream:
            write_refused(stream, sheet, stage.refused())
    except OSError as error:
        click.echo(f"{aside} cannot be written: {error.strerror}", err=True)
        return None
    return aside


def tell_refused(file: Path, stage: RateStage, aside: Path | None) -> None:
    """Print the first of them."""
    if not stage.refused_count:
        return
    for shown, row in enumerate(stage.refused()):
        if shown == REFUSED_SHOWN:
            break
        click.echo(f"  line {row.line}: {row.reason}", err=True)
    if stage.refused_count > REFUSED_SHOWN:
        click.echo(f"  and {stage.refused_count - REFUSED_SHOWN} more", err=True)
    click.echo(
        f"rows refused, not in the deck: {stage.refused_count}; correct them in {file} "
        "and import it again" + (f" ({aside} lists them)" if aside else ""),
        err=True,
    )


def refused_facts(stage: RateStage, aside: Path | None) -> dict[str, Any]:
    """The same for a program."""
    rows: list[RefusedRow] = []
    for row in stage.refused():
        rows.append(row)
        if len(rows) == REFUSED_IN_JSON:
            break
    return {
        "refused": [{"line": row.line, "reason": row.reason} for row in rows],
        "refused_count": stage.refused_count,
        "refused_file": str(aside) if aside else None,
    }
