"""docs/api.md: its examples run as they stand, by curl, and are answered as it says."""

import os
import re
import subprocess
from pathlib import Path

from pbxbill.access.permissions import Permission, Role
from pbxbill.web.allowance import WINDOW_S
from pbxbill.web.api.api import MAX_BODY_BYTES
from pbxbill.web.api.idempotency import MAX_LENGTH
from pbxbill.web.api.streams import LASTS_S
from tests.store.billed_accounts import talk_to_germany_and_france
from tests.web.programs import BASE, installation
from tests.web.test_schemathesis import served

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def examples() -> list[tuple[str, list[str]]]:
    """Commands, each with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def said(line: str, output: str) -> bool:
    """Whether the parts of a line are there, in their order."""
    at = 0
    for part in re.split(r" ?\.\.\. ?", line.strip()):
        place = output.find(part, at)
        if place < 0:
            return False
        at = place + len(part)
    return True


def test_the_examples_run(sqlite_url: str, tmp_path: Path) -> None:
    with installation(sqlite_url) as installed, served(installed.app) as port:
        talk_to_germany_and_france(installed.accounts)
        words = {
            "PBXBILL": f"http://127.0.0.1:{port}{BASE}",
            "KEY": installed.program(name="shop", role=Role.ADMIN).key,
            "OWN_KEY": installed.program("bob", Permission.OWN_READ, Permission.OWN_PAY).key,
        }
        ran = 0
        for command, lines in examples():
            done = subprocess.run(
                ["bash", "-c", command],
                env=os.environ | words,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
            )
            for line in lines:
                assert said(line, done.stdout), (command, line, done.stdout)
            ran += 1
        assert ran == 23


def test_the_numbers_of_the_page() -> None:
    assert f"up to {MAX_LENGTH} visible ASCII" in PAGE
    assert f"more than {MAX_BODY_BYTES // 1024} KiB" in PAGE
    assert (WINDOW_S, LASTS_S) == (60, 300)


def test_the_scopes_of_the_page() -> None:
    named = set(re.findall(r"`([a-z]+:[a-z-]+)`", PAGE))
    assert named <= {x.value for x in Permission}


def test_the_resources_of_the_page(sqlite_url: str) -> None:
    with installation(sqlite_url) as installed:
        document = installed.app.test_client().get(f"{BASE}/openapi.json").json
        assert document is not None
    paths = (x.removeprefix(BASE).split("/")[1] for x in document["paths"])
    served_ones = {x.partition(".")[0] for x in paths}
    named = {x.removeprefix("/") for x in re.findall(r"`(/[a-z-]+)`", PAGE)}
    assert served_ones - named == set()
