"""A private Asterisk with phones and gateways, configured as by an administrator who put pbxbill beside it.

Phones send to sip_port and are known by the user part of From. A number that ends in a gateway's suffix
goes to that gateway, every other number to the one without a suffix.
"""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.ports import free_port
from lab.process import ChildProcess, ServerFailed, tail
from lab.server import PrivateServer
from lab.site import CARRIER, Did, Gateway, Phone

REPOSITORY = Path(__file__).resolve().parent.parent
INSTALL = REPOSITORY / ".cache" / "asterisk"
DIALPLAN = REPOSITORY / "dialplan"
TEMPLATES = Path(__file__).with_name("asterisk-conf")
START_TIMEOUT_S = 30.0

EMPTY_FILES = ("acl", "ccss", "cel", "cdr_manager", "features", "musiconhold", "pjproject", "udptl")
"""Files that Asterisk would complain about if they were missing."""


_OPTIONS = "${PBXBILL_DIAL_OPTIONS}"


class PrivateAsterisk(PrivateServer):
    """Asterisk in a directory of its own; stop, kill and start keep its ports, configuration and CDR log."""

    def __init__(  # noqa: PLR0913  # an administrator's whole site, by name
        self,
        *,
        phones: Sequence[Phone],
        gateways: Sequence[Gateway] = (),
        dids: Sequence[Did] = (),
        directory: Path | None = None,
        install: Path = INSTALL,
        name: str = "pbx1",
        agi_port: int | None = None,
        variables: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        """variables: the dialplan's globals; files: whole configuration files by their name."""
        if not (install / "bin" / "asterisk").exists():
            raise ServerFailed(f"there is no Asterisk in {install}: `make test` or `make dev` installs it")
        self.phones = (*phones, CARRIER)
        self.gateways = tuple(gateways)
        self.dids = tuple(dids)
        self.install = install
        self.name = name
        self.sip_port = free_port()
        self.carrier_port = self.sip_port
        """Where carriers send calls to, as the phone named "carrier"."""
        self.ami_port = free_port()
        self.agi_port = agi_port or free_port()
        """Where pbxbill's FastAGI server is expected."""
        self.ami_user = "pbxbill"
        self.ami_secret = "lab-secret"  # noqa: S105  # this Asterisk listens on 127.0.0.1 and ends with its test
        # The path of the control socket must stay under 108 characters, whatever the directory is.
        self._run = Path(tempfile.mkdtemp(prefix="pbxbill-ast-"))
        self._files = dict(files or {})
        self._globals = {"PBXBILL_AGI": f"agi://127.0.0.1:{self.agi_port}", **(variables or {})}
        self.directory = directory or self._run
        self._write_configuration()

    @property
    def configuration(self) -> Path:
        """The directory that /etc/asterisk would be."""
        return self.directory / "etc"

    @property
    def sounds(self) -> Path:
        """The directory that holds one directory of prompts per language."""
        return self.install / "root" / "usr" / "share" / "asterisk" / "sounds"

    @property
    def cdr_log(self) -> Path:
        """The file that cdr_custom appends to, as dialplan/ configures it."""
        return self.directory / "log" / "cdr-custom" / "pbxbill.csv"

    @property
    def log(self) -> Path:
        return self.directory / "log" / "full"

    def start(self) -> None:
        """Start it, and return when it is fully booted: about a second."""
        if self._process is not None and self._process.running():
            return
        (self._run / "asterisk.ctl").unlink(missing_ok=True)  # what a killed one left
        self._process = ChildProcess(
            [self._program, "-C", self.configuration / "asterisk.conf", "-f", "-n", "-q"],
            self.directory / "log" / "console",
            directory=self.directory,
        )
        try:
            self._process.wait_ready(self._booted, START_TIMEOUT_S)
        except ServerFailed as fault:
            raise ServerFailed(f"{fault}\n{tail(self.log)}") from None

    def stop(self) -> None:
        """Stop now: calls are hung up, their records written."""
        if self._process is not None:
            self._process.stop(signal.SIGTERM)

    def rx(self, command: str) -> str:
        """What the console answers to a command, e.g. "core show channels concise"."""
        return self._rx(command).stdout

    def channels(self) -> list[str]:
        """The names of the channels that are up."""
        lines = self.rx("core show channels concise").splitlines()
        return [line.split("!")[0] for line in lines if "!" in line]

    @property
    def _program(self) -> Path:
        return self.install / "bin" / "asterisk"

    def _rx(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, "-C", self.configuration / "asterisk.conf", "-rx", command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=15,
            check=False,
        )

    def _booted(self) -> bool:
        if not (self._run / "asterisk.ctl").exists():
            return False
        answer = self._rx("core waitfullybooted")
        return answer.returncode == 0 and "fully booted" in answer.stdout

    # --- configuration --------------------------------------------------------------------------

    def _write_configuration(self) -> None:
        for part in ("etc", "lib/keys", "spool", "log/cdr-csv", "log/cdr-custom"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        root = self.install / "root" / "usr"
        modules = next(root.glob("lib/*/asterisk/modules"))
        rtp_first = 34_000 + self.sip_port % 12 * 2000  # who shares a range skips the other's ports
        words = {
            "DIR": str(self.directory),
            "RUN": str(self._run),
            "MODULES": str(modules),
            "DATA": str(root / "share" / "asterisk"),
            "NAME": self.name,
            "SIP_PORT": str(self.sip_port),
            "AMI_PORT": str(self.ami_port),
            "AMI_USER": self.ami_user,
            "AMI_SECRET": self.ami_secret,
            "RTP_FIRST": str(rtp_first),
            "RTP_LAST": str(rtp_first + 1999),
        }
        texts = {f"{name}.conf": "" for name in EMPTY_FILES}
        for template in TEMPLATES.glob("*.conf"):
            text = template.read_text()
            for word, value in words.items():
                text = text.replace(f"@{word}@", value)
            texts[template.name] = text
        texts["modules.conf"] = _only_existing(texts["modules.conf"], modules)
        texts["pjsip.conf"] += "".join(map(_phone, self.phones)) + "".join(map(_gateway, self.gateways))
        texts["extensions.conf"] = self._extensions()
        for name, included in _includes().items():
            texts[name] = texts.get(name, "") + "".join(f'\n#include "{path}"\n' for path in included)
        for name, text in (texts | self._files).items():
            (self.configuration / name).write_text(text)

    def _extensions(self) -> str:
        ask = "Gosub(pbxbill,{},1({}))"
        lines = ["[general]", "static = yes", "writeprotect = yes"]
        lines += ["[globals]", *(f"{name} = {value}" for name, value in self._globals.items())]
        lines += _extension(
            "phones", "_[+0-9*#].", ask.format("outbound", "${EXTEN}"), self._dial_out("PBXBILL_NUMBER")
        )
        lines += _extension("plain", "_[+0-9*#].", "NoOp()", self._dial_out("EXTEN", ""))
        for did in self.dids:
            steps = [ask.format("inbound", "${EXTEN}")] if did.charged else ["NoOp()"]
            if did.cards:
                again = f"Gosub(pbxbill,card,1(${{EXTEN}}))\n same => n,{self._dial_out('PBXBILL_NUMBER')}"
                steps += [f"NoOp()\n same => n(card),{again}", "Goto(card)"]
            if did.phone:
                steps += [f"Dial(PJSIP/{did.phone},60,{_OPTIONS})"]
            if did.forward_to:
                steps += [ask.format("forward", did.forward_to), self._dial_out("PBXBILL_NUMBER")]
            lines += _extension("carrier", did.number, *steps)
        return "\n".join([*lines, ""])

    def _dial_out(self, variable: str, options: str = _OPTIONS) -> str:
        chosen = next((gateway.name for gateway in self.gateways if not gateway.suffix), "none")
        for gateway in self.gateways:
            if gateway.suffix:
                test = f'$["${{{variable}:-{len(gateway.suffix)}}}" = "{gateway.suffix}"]'
                chosen = f"${{IF({test}?{gateway.name}:{chosen})}}"
        return f"Dial(PJSIP/${{{variable}}}@{chosen},60,{options})"

    def _leave(self) -> None:
        shutil.rmtree(self._run, ignore_errors=True)


def _extension(context: str, pattern: str, *steps: str) -> list[str]:
    first, *others = [*steps, "Hangup(${HANGUPCAUSE})"]
    return [f"[{context}]", f"exten => {pattern},1,{first}", *(f" same => n,{step}" for step in others)]


def _phone(phone: Phone) -> str:
    lines = [f"\n[{phone.name}](loopback)", f"context = {phone.context}", f"aors = {phone.name}"]
    lines += [f'callerid = "{phone.name}" <{phone.name}>'] if phone.context != "carrier" else []
    lines += [f"accountcode = {phone.account_code}"] if phone.account_code else []
    lines += ["set_var = PBXBILL_FAILURE_POLICY=open"] if phone.open_on_failure else []
    lines += [f"language = {phone.language}"] if phone.language else []
    if phone.password:
        lines += [f"auth = {phone.name}", f"\n[{phone.name}]", "type = auth", "auth_type = userpass"]
        lines += [f"username = {phone.name}", f"password = {phone.password}"]
    lines += [f"\n[{phone.name}]", "type = aor", "max_contacts = 1"]
    lines += [f"contact = sip:{phone.name}@127.0.0.1:{phone.port}"] if phone.port else []
    return "\n".join([*lines, ""])


def _gateway(gateway: Gateway) -> str:
    lines = [f"\n[{gateway.name}](loopback)", "context = nowhere", f"aors = {gateway.name}"]
    lines += [f"\n[{gateway.name}]", "type = aor", f"contact = sip:127.0.0.1:{gateway.port}"]
    return "\n".join([*lines, ""])


def _only_existing(modules_conf: str, modules: Path) -> str:
    """Without the modules that this version does not have."""
    present = {path.name for path in modules.glob("*.so")}
    lines = modules_conf.splitlines()
    return "\n".join(line for line in lines if not line.startswith("load =") or line.split()[-1] in present)


def _includes() -> dict[str, list[Path]]:
    """What dialplan/ offers, by the file of /etc/asterisk that includes it: extensions_pbxbill.conf etc."""
    included: dict[str, list[Path]] = {}
    for path in sorted(DIALPLAN.glob("*.conf")):
        base, found, _ = path.name.partition("_pbxbill")
        if found and base != "pjsip":
            included.setdefault(f"{base}.conf", []).append(path)
    return included
