"""Lines of any file in bounded memory."""

import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.errors import InputRefused
from pbxbill.mediation.mapping import MAX_LINE_BYTES
from pbxbill.mediation.reading import lines_of, opened


@given(st.lists(st.binary(max_size=30).filter(lambda x: b"\n" not in x), max_size=20), st.booleans())
def test_every_line_with_where_it_ends(lines: list[bytes], ended: bool) -> None:
    data = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    start = 0
    wanted = []
    for number, raw in enumerate(data.split(b"\n"), 1):
        end = min(start + len(raw) + 1, len(data))
        if raw.strip():
            wanted.append((raw, number, end, end == start + len(raw)))
        start = end
    found = [(x.raw, x.number, x.end, x.unfinished) for x in lines_of(io.BytesIO(data), 0, 0)]
    assert found == wanted


def test_a_line_of_a_gigabyte_costs_no_memory() -> None:
    """Read from a stream that is made as it is read; the line behind it is read as well."""

    class Endless(io.RawIOBase):
        left = 64 * MAX_LINE_BYTES

        def readable(self) -> bool:
            return True

        def readinto(self, buffer) -> int:
            if self.left == 0:
                return 0
            count = min(len(buffer), self.left)
            buffer[:count] = b"x" * count
            self.left -= count
            if self.left == 0:
                buffer[count - 8 : count] = b"\nabc\ndef"
            return count

    tracemalloc.start()
    found = list(lines_of(io.BufferedReader(Endless()), 0, 0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(x.too_long, x.raw[:3], x.number) for x in found] == [
        (True, b"xxx", 1),
        (False, b"abc", 2),
        (False, b"def", 3),
    ]
    assert found[0].end == 64 * MAX_LINE_BYTES - 7
    assert peak < 8 * MAX_LINE_BYTES


def test_two_processes_do_not_import_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x\n")
    with opened(path), pytest.raises(InputRefused, match="another process is importing it"), opened(path):
        pass
    with pytest.raises(InputRefused, match="No such file"), opened(tmp_path / "b.csv"):
        pass
