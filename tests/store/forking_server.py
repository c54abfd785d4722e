"""A process that has loaded what the processes of tests need, and forks one for each that is asked for.

What it is sent: the module's name and its words as JSON, and three pipes: what the process reads, what it
says, and on which its keeper tells its id, then how it ended. It ends when nobody can ask any more.
"""

import gc
import json
import os
import signal
import socket
import struct
import sys
from importlib import import_module
from pathlib import Path
from types import FrameType

LONGEST_BYTES = 1 << 17
TOLD = struct.Struct("q")
"""What a keeper tells: a number at a time."""
OTHERS = {"other_process"}


def asked_of_this(channel: socket.socket) -> list[str] | None:
    """What this process is to do: forked for it; None in the server, when nobody asks any more."""
    while True:
        asked, pipes, _, _ = socket.recv_fds(channel, LONGEST_BYTES, 3)
        if not asked:
            return None
        if os.fork() == 0:
            channel.close()
            if keep_one(*pipes):
                words: list[str] = json.loads(asked)
                return words
            os._exit(0)
        for pipe in pipes:
            os.close(pipe)


def keep_one(stdin: int, stdout: int, told: int) -> bool:
    """Fork the process itself, and tell of it: True in the process, False in its keeper when it has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process = os.fork()
    if process == 0:
        os.close(told)
        for pipe, number in ((stdin, 0), (stdout, 1)):
            os.dup2(pipe, number)
            os.close(pipe)
        return True
    os.close(stdin)
    os.close(stdout)
    os.write(told, TOLD.pack(process))
    _, status = os.waitpid(process, 0)
    os.write(told, TOLD.pack(os.waitstatus_to_exitcode(status)))
    return False


def reap(_number: int, _frame: FrameType | None) -> None:
    """Keepers that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass  # there is none any more


def main() -> None:
    processes = {path.stem for path in Path(__file__).parent.glob("*_process.py")} - OTHERS
    for name in sorted(processes):
        import_module(f"tests.store.{name}")
    gc.collect()
    gc.freeze()  # what all share is looked through by none of them
    signal.signal(signal.SIGCHLD, reap)
    asked = asked_of_this(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        sys.argv = asked
        import_module(f"tests.store.{asked[0]}").main()


if __name__ == "__main__":
    main()
