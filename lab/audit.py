"""Asks PyPI whether a weakness is known of anything that is installed here.

    python -m lab.audit             (make audit, and a part of make check)

What was found is remembered for a day, as long as the same packages are installed. Where PyPI does not
answer, nothing is known and nothing fails: a check must run without a network as well.
"""

import json
import subprocess
import sys
import time
import urllib.request
from hashlib import sha256
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

PROBE = "https://pypi.org/pypi/pip-audit/{version}/json"
PROBE_S, AUDIT_S = 4, 90
GOOD_FOR_S = 24 * 3600
KEPT = Path(__file__).parent.parent / ".cache/audit.json"


def main() -> int:
    """The exit code: 1 if a weakness is known."""
    packages = sorted({f"{x.name}=={x.version}" for x in distributions()})
    of = sha256("\n".join(packages).encode()).hexdigest()
    found = _kept(of)
    if found is None:
        if not _answers():
            return _unknown("PyPI does not answer")
        found = _asked()
        if found is None:
            return _unknown("PyPI did not answer for all of them")
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps({"of": of, "at_s": int(time.time()), "found": found}))
    for one in found:
        sys.stderr.write(
            f"{one['package']} has a known weakness: {one['ids']}; mended in {one['mended_in']}\n"
        )
    sys.stdout.write(f"dependency audit: {len(packages)} packages, {len(found)} with a known weakness\n")
    return 1 if found else 0


def _unknown(why: str) -> int:
    sys.stdout.write(f"dependency audit: not done, {why}; `make audit` tries again\n")
    return 0


def _kept(of: str) -> list[dict[str, str]] | None:
    try:
        kept = json.loads(KEPT.read_text())
    except (OSError, ValueError):
        return None
    is_good = kept["of"] == of and 0 <= time.time() - kept["at_s"] < GOOD_FOR_S
    return list(kept["found"]) if is_good else None


def _answers() -> bool:
    """Whether PyPI says there what is known of a package; a mirror of its files alone does not."""
    try:
        probe = PROBE.format(version=version("pip-audit"))
        with urllib.request.urlopen(probe, timeout=PROBE_S) as answer:  # noqa: S310  # https, as PROBE says
            return "vulnerabilities" in json.load(answer)
    except (OSError, ValueError):
        return False


def _asked() -> list[dict[str, str]] | None:
    command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [*command, "--format", "json"], capture_output=True, text=True, timeout=AUDIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    try:
        told: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        sys.stderr.write(done.stderr[-2_000:])
        return None
    skipped = [one["name"] for one in told if "skip_reason" in one]
    if len(skipped) * 10 > len(told):
        return None
    for name in skipped:
        sys.stderr.write(f"{name} is not known to PyPI\n")
    return [
        {
            "package": f"{one['name']} {one['version']}",
            "ids": ", ".join(x["id"] for x in one["vulns"]),
            "mended_in": ", ".join(sorted({v for x in one["vulns"] for v in x["fix_versions"]}))
            or "no release",
        }
        for one in told
        if one.get("vulns")
    ]


if __name__ == "__main__":
    sys.exit(main())
