"""A process that sets documents whose template somebody else wrote, within limits of memory and time.

`python -m pbxbill.billing.render.worker` reads jobs on standard input and answers on standard output; both
as a length of eight bytes, a JSON head, and the bytes that it announces. Isolated is its owner's side: it
starts one when it is needed, and ends it when a document takes too long, or when it has set many.
"""

import atexit
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import threading
from shutil import rmtree
from tempfile import mkdtemp
from typing import IO, Any

from pbxbill.billing.render.logo import Logo
from pbxbill.billing.render.sandbox import TemplateFault
from pbxbill.billing.render.typesetting import Job, Sheets, Typesetter
from pbxbill.errors import ConfigurationError

MEMORY_MAX_BYTES = 2 * 1024**3
JOBS_PER_PROCESS = 500
"""Then a new one takes over: what a layout leaves behind in memory goes with it."""
ANSWER_MAX_BYTES = 200_000_000
ORPHAN_S = 60
"""After its owner must have ended it, the process ends itself: the owner may be gone."""
_LENGTH_BYTES = 8


def _write(stream: IO[bytes], head: dict[str, Any], *parts: bytes) -> None:
    head["parts"] = [len(part) for part in parts]
    text = json.dumps(head).encode()
    stream.write(len(text).to_bytes(_LENGTH_BYTES, "big") + text + b"".join(parts))
    stream.flush()


def _read(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]] | None:
    """A message; None at the end of the stream."""
    length = stream.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    head = json.loads(stream.read(int.from_bytes(length, "big")))
    return head, [stream.read(size) for size in head["parts"]]


class _TooLate(Exception):
    """Never leaves this module."""


class _Stream:
    """A pipe of the child's, read until a deadline of the wall."""

    def __init__(self, pipe: IO[bytes], timeout_s: int) -> None:
        self._pipe = pipe
        self._timeout_s = timeout_s
        os.set_blocking(pipe.fileno(), False)

    def read(self, size: int) -> bytes:
        if size > ANSWER_MAX_BYTES:
            raise _TooLate
        found = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            while len(found) < size:
                if not selector.select(self._timeout_s):
                    raise _TooLate
                piece = os.read(self._pipe.fileno(), size - len(found))
                if not piece:
                    return b""
                found += piece
        return found


class Isolated:
    """Sets documents in a process of their own. Threads take turns."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""
        """Where the process may keep fonts; removed with it, however it ended."""
        self._jobs = 0
        self._owner = os.getpid()
        self._turn = threading.Lock()
        atexit.register(self.close)

    def set(self, job: Job, timeout_s: int) -> Sheets:
        """The document; TemplateFault if it takes too long or too much memory."""
        with self._turn:
            if self._owner != os.getpid():
                # After a fork the process is our parent's: we start our own.
                self._process, self._folder, self._owner = None, "", os.getpid()
            if self._jobs >= JOBS_PER_PROCESS:
                self.close()
            process = self._started()
            self._jobs += 1
            try:
                answer = self._exchange(process, job, timeout_s)
            except (_TooLate, BrokenPipeError, ValueError, KeyError):
                answer = None
            if answer is None:
                self.close()
                raise TemplateFault(
                    f"it cannot be set within {timeout_s} s and {MEMORY_MAX_BYTES // 1024**2} MB; "
                    "make it simpler"
                )
        head, parts = answer
        if head.get("fault"):
            raise TemplateFault(str(head["fault"]))
        warnings, refused = (tuple(map(str, head[name])) for name in ("warnings", "refused"))
        return Sheets(parts[0], int(head["pages"]), warnings, refused)

    def _exchange(
        self, process: subprocess.Popen[bytes], job: Job, timeout_s: int
    ) -> tuple[dict[str, Any], list[bytes]] | None:
        if process.stdin is None or process.stdout is None:
            return None
        head = {
            "created_on": job.created_on,
            "timeout_s": timeout_s,
            "logo": job.logo and job.logo.media_type,
            "xml": job.xml is not None,
        }
        logo = job.logo.content if job.logo else b""
        _write(process.stdin, head, job.html.encode(), job.css.encode(), logo, job.xml or b"")
        return _read(_Stream(process.stdout, timeout_s))  # type: ignore[arg-type]  # it reads, and that is all

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        # Nothing of our environment: it may hold passwords.
        self._folder = mkdtemp(prefix="pbxbill-render-")
        environment = {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
            "TMPDIR": self._folder,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pbxbill.billing.render.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
        )
        self._jobs = 0
        return self._process

    def kill(self) -> None:
        """End the process from another thread; who waits for a document is told that there is none."""
        process = self._process
        if process is not None and self._owner == os.getpid():
            process.kill()

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        folder, self._folder = self._folder, ""
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait(timeout=10)
        rmtree(folder, ignore_errors=True)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass  # what was on its way to a dead process is of no use


def main() -> None:
    """Answer jobs until the owner goes."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Whatever a library prints must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        typesetter = Typesetter()
    except ConfigurationError as fault:
        _write(answers, {"fault": str(fault)})
        return
    while (message := _read(sys.stdin.buffer)) is not None:
        head, (html, css, logo, xml) = message
        signal.alarm(head["timeout_s"] + ORPHAN_S)
        job = Job(
            html=html.decode(),
            css=css.decode(),
            logo=Logo(head["logo"], logo) if head["logo"] else None,
            xml=xml if head["xml"] else None,
            created_on=head["created_on"],
        )
        try:
            sheets = typesetter.set(job)
        except Exception as fault:  # noqa: BLE001  # what another's style sheet breaks in a layout is his to see
            _write(answers, {"fault": f"it cannot be set: {type(fault).__name__}: {str(fault)[:200]}"})
        else:
            told = {"pages": sheets.pages, "warnings": sheets.warnings, "refused": sheets.refused}
            _write(answers, told, sheets.pdf)
        signal.alarm(0)


if __name__ == "__main__":
    main()
