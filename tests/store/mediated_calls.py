"""Master.csv lines as Asterisk writes them, for tests of mediation."""

from dataclasses import dataclass
from pathlib import Path

from tests.store.billed_accounts import GERMANY


@dataclass(frozen=True)
class MasterLine:
    """One call; times are seconds after 10:00 on the first of March 2026."""

    number: int
    account: str = "bob"
    dst: str = GERMANY
    answered_s: int | None = 5
    ended_s: int = 65
    dstchannel: str = "PJSIP/trunk-00000001"

    def __str__(self) -> str:
        answer = "" if self.answered_s is None else _moment(self.answered_s)
        billsec = 0 if self.answered_s is None else self.ended_s - self.answered_s
        disposition = "NO ANSWER" if self.answered_s is None else "ANSWERED"
        texts = (
            *(self.account, "4930111", self.dst, "from-internal", '""Al"" <4930111>'),
            *(f"PJSIP/{self.account}-{self.number:08x}", self.dstchannel, "Dial", "PJSIP/x@trunk,60"),
            *(_moment(0), answer, _moment(self.ended_s)),
        )
        quoted = ",".join(f'"{text}"' for text in texts)
        return (
            f'{quoted},{self.ended_s},{billsec},"{disposition}","DOCUMENTATION","1772359200.{self.number}",""'
        )


def _moment(second: int) -> str:
    return f"2026-03-01 {10 + second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def write_master(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
