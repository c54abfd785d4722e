"""The private servers do what the tests of the product rely on."""

import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, inspect

from lab.asterisk import PrivateAsterisk
from lab.memory import fleeting_directory
from lab.ports import free_ports
from lab.postgres import PrivatePostgres
from lab.process import ChildProcess, ServerFailed, wait_until
from lab.redis import PrivateRedis
from lab.sipp import Answering, Call, Calling, SippCaller, SippServer, place
from lab.site import Gateway, Phone

REPOSITORY = Path(__file__).parent.parent.parent


def test_two_runs_are_never_given_the_same_port():
    ours = set(free_ports(5))
    other = "from lab.ports import free_ports; print(*free_ports(20))"
    theirs = subprocess.run(
        [sys.executable, "-c", other], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert not ours & set(map(int, theirs.stdout.split()))
    assert len(ours) == 5


def test_a_child_dies_with_its_parent(tmp_path):
    script = (
        "import sys; from pathlib import Path; from lab.process import ChildProcess\n"
        "log = Path(sys.argv[1]); child = ChildProcess(['sh', '-c', 'echo up; exec sleep 60'], log)\n"
        "child.wait_ready(log.read_text, 5); print(child.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "log"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = parent.stdout.readline().strip()
        assert Path(f"/proc/{pid}").exists()
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not _runs(pid), 5, "the child of a killed parent ends")


def _runs(pid: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_server_that_does_not_come_up_shows_its_log(tmp_path):
    child = ChildProcess(["sh", "-c", "echo no such thing; exit 3"], tmp_path / "log")
    with pytest.raises(ServerFailed, match=r"ended with 3 while it was starting(.|\n)*no such thing"):
        child.wait_ready(lambda: False, 5)


def test_each_test_gets_a_database_of_its_own(database_url):
    engine = create_engine(database_url)
    assert "alembic_version" in inspect(engine).get_table_names()
    engine.dispose()


def test_a_killed_postgresql_comes_back_with_what_was_committed():
    with PrivatePostgres() as server:
        with server.connect() as connection:
            connection.execute("CREATE TABLE paid (amount bigint)")
            connection.execute("INSERT INTO paid VALUES (42)")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            server.connect()
        server.start()
        with server.connect() as connection:
            assert connection.execute("SELECT amount FROM paid").fetchone() == (42,)
            assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_what_a_killed_run_left_in_memory_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr("lab.memory.NEEDED_BYTES", 1)
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    (tmp_path / f"pbxbill-{ended.pid}-left").mkdir()
    (tmp_path / "anothers").mkdir()
    ours = fleeting_directory(tmp_path)
    assert set(tmp_path.iterdir()) == {ours, tmp_path / "anothers"}
    assert fleeting_directory(tmp_path) != ours
    assert ours.exists()


def test_where_memory_is_short_a_disk_serves(tmp_path, monkeypatch):
    monkeypatch.setattr("lab.memory.NEEDED_BYTES", 1 << 60)
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    memory.mkdir()
    disk.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    assert fleeting_directory(memory).parent == disk
    assert fleeting_directory(tmp_path / "none").parent == disk


def test_redis_keeps_its_port(redis_server):
    with PrivateRedis() as server:
        assert server.port != redis_server.port
        url = server.url
        server.kill()
        server.start()
        assert server.url == url


def test_calls_through_a_private_asterisk(asterisk_install, tmp_path):
    with (
        SippServer(Answering.ANSWER, tmp_path) as answering,
        SippServer(Answering.REJECT, tmp_path, status=486) as busy,
        SippServer(Answering.RING, tmp_path) as ringing,
        SippServer(Answering.ANSWER_HANG_UP, tmp_path, hold_ms=500) as short,
        PrivateAsterisk(
            phones=[
                Phone("2001", "A-1", context="plain"),
                Phone("2002", "A-2", context="plain", password="secret"),
            ],
            gateways=[
                Gateway("carrier-1", answering.port),
                Gateway("carrier-2", busy.port, "486"),
                Gateway("carrier-3", ringing.port, "180"),
                Gateway("carrier-4", short.port, "200"),
            ],
            install=asterisk_install,
        ) as asterisk,
    ):
        port = asterisk.sip_port
        talked = place(Call("33155501", "2001", hold_ms=400, count=2), port, tmp_path)
        assert (talked.successful, talked.failed) == (2, 0), talked.log
        assert all(400_000 <= (call.talked_us or 0) < 600_000 for call in talked.calls)
        assert len(answering.calls()) == 2

        known = place(Call("33155502", "2002", hold_ms=100, password="secret"), port, tmp_path)
        assert known.successful == 1, known.log

        refused = place(
            Call("33155486", "2001", Calling.REJECTED, rejections=(486, 600)), port, tmp_path, timeout_s=10
        )
        assert [call.status for call in refused.calls] == [486], refused.log

        given_up = place(Call("33155180", "2001", Calling.CANCEL, hold_ms=100), port, tmp_path, timeout_s=10)
        assert given_up.successful == 1, given_up.log

        cut = place(Call("33155200", "2001", Calling.WAIT), port, tmp_path, timeout_s=10)
        assert cut.successful == 1, cut.log
        assert [call.ended_here for call in cut.calls] == [False]

        moved = Call("33155501", "2001", Calling.TRANSFER, hold_ms=200, refer_to="33155200")
        assert place(moved, port, tmp_path, timeout_s=10).successful == 1


def test_a_killed_asterisk_starts_again_on_its_ports(asterisk_install, tmp_path):
    with (
        SippServer(Answering.ANSWER, tmp_path) as answering,
        PrivateAsterisk(
            phones=[Phone("2001", "A-1", context="plain")],
            gateways=[Gateway("carrier-1", answering.port)],
            directory=tmp_path / "asterisk",
            install=asterisk_install,
        ) as asterisk,
        SippCaller(Call("33155501", "2001", Calling.WAIT), asterisk.sip_port, tmp_path) as caller,
    ):
        wait_until(lambda: any(call.answered_us for call in caller.calls()), 5, "the call is answered")
        assert len(asterisk.channels()) == 2
        asterisk.kill()
        asterisk.start()
        assert asterisk.channels() == []
        assert "PJSIP" in asterisk.rx("core show channeltypes")
