"""A private FreeSWITCH with phones and gateways, configured as by an administrator who put pbxbill beside it.

The binary is the machine's own (FREESWITCH_BIN): Debian has none. Phones prove their password; carriers
call carrier_port without one. Numbers choose their gateway as with PrivateAsterisk.
"""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from lab.ports import free_port
from lab.process import ChildProcess, ServerFailed, tail
from lab.server import PrivateServer
from lab.site import Did, Gateway, Phone

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATES = Path(__file__).with_name("freeswitch-conf")
SHIPPED = REPOSITORY / "freeswitch-conf"
START_TIMEOUT_S = 40.0


def freeswitch_binary() -> Path:
    """What FREESWITCH_BIN names; ServerFailed if it is not set or not there."""
    named = os.environ.get("FREESWITCH_BIN", "")
    if not named or not Path(named).exists():
        raise ServerFailed("set FREESWITCH_BIN to a freeswitch program (1.10 or later)")
    return Path(named).resolve()


class PrivateFreeSwitch(PrivateServer):
    """FreeSWITCH in a directory of its own; stop, kill and start keep its ports, configuration and CDRs."""

    def __init__(  # noqa: PLR0913  # an administrator's whole site, by name
        self,
        *,
        phones: Sequence[Phone],
        gateways: Sequence[Gateway] = (),
        dids: Sequence[Did] = (),
        directory: Path | None = None,
        binary: Path | None = None,
        name: str = "pbx1",
        socket_port: int | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """variables: global ones, which an administrator sets in vars.xml."""
        self.binary = binary or freeswitch_binary()
        self.phones = tuple(phones)
        self.gateways = tuple(gateways)
        self.dids = tuple(dids)
        self.name = name
        self._globals = dict(variables or {})
        self.sip_port = free_port()
        self.carrier_port = free_port()
        """Where carriers send calls to."""
        self.esl_port = free_port()
        self.esl_password = "lab-secret"  # noqa: S105  # this one listens on 127.0.0.1 and ends with its test
        self.socket_port = socket_port or free_port()
        """Where pbxbill's outbound socket is expected."""
        self._own_directory = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="pbxbill-fs-"))
        self._write_configuration()

    @property
    def configuration(self) -> Path:
        """The directory that /etc/freeswitch would be."""
        return self.directory / "conf"

    @property
    def cdr_log(self) -> Path:
        """The folder that mod_json_cdr writes to."""
        return self.directory / "cdr"

    @property
    def log(self) -> Path:
        return self.directory / "log" / "freeswitch.log"

    @property
    def sounds(self) -> Path:
        """The directory that holds LANGUAGE/DIALECT/VOICE."""
        prefix = self.binary.parent.parent
        places = (prefix / "sounds", prefix / "share/freeswitch/sounds", prefix.parent / "sounds")
        return next((place for place in places if (place / "en").exists()), places[0])

    def start(self) -> None:
        """Start it, and return when calls and clients can come: about four seconds."""
        if self._process is not None and self._process.running():
            return
        paths = {part: self.directory / part for part in ("conf", "log", "db", "run", "storage", "certs")}
        options = [word for part, path in paths.items() for word in (f"-{part}", str(path))]
        options += ["-temp", str(self.directory / "run"), "-recordings", str(self.directory / "storage")]
        options += ["-cache", str(self.directory / "db"), "-scripts", str(self.directory / "storage")]
        modules = self._modules()
        options += ["-mod", str(modules)] if modules else []
        self._process = ChildProcess(
            [self.binary, "-nonat", "-nonatmap", "-np", "-nf", "-nc", *options, "-sounds", self.sounds],
            self.directory / "log" / "console",
            directory=self.directory,
        )
        try:
            self._process.wait_ready(self._ready, START_TIMEOUT_S)
        except ServerFailed as fault:
            raise ServerFailed(f"{fault}\n{tail(self.log)}") from None

    def stop(self) -> None:
        """SIGTERM: calls are hung up, their records written."""
        if self._process is not None:
            self._process.stop(signal.SIGTERM, timeout_s=20)

    def api(self, command: str) -> str:
        """What FreeSWITCH answers to an api command, e.g. "show channels as json"."""
        with socket.create_connection(("127.0.0.1", self.esl_port), timeout=5) as connection:
            stream = connection.makefile("rwb")
            _read_message(stream.readline, stream.read)  # auth/request
            answer = ""
            for line in (f"auth {self.esl_password}", f"api {command}"):
                stream.write(f"{line}\n\n".encode())
                stream.flush()
                answer = _read_message(stream.readline, stream.read)
            return answer

    # --- configuration --------------------------------------------------------------------------

    def _write_configuration(self) -> None:
        for part in ("autoload_configs", "directory", "gateways", "dialplan/pbxbill_routes"):
            (self.configuration / part).mkdir(parents=True, exist_ok=True)
        for part in ("log", "db", "run", "storage", "certs", "cdr"):
            (self.directory / part).mkdir(exist_ok=True)
        for template in TEMPLATES.glob("*.xml"):
            shutil.copy(template, self.configuration)
        self._install()
        rtp_first = 34_000 + self.sip_port % 12 * 2000  # who shares a range skips the other's ports
        variables = {
            "lab_switchname": self.name,
            "lab_sip_port": self.sip_port,
            "lab_carrier_port": self.carrier_port,
            "lab_rtp_first": rtp_first,
            "lab_rtp_last": rtp_first + 1999,
            "sounds_dir": self.sounds,
            "sound_prefix": self.sounds / "en" / "us" / "callie",
            "default_language": "en",
            "domain": "127.0.0.1",
            "local_ip_v4": "127.0.0.1",
            **self._globals,
        }
        lines = [
            f'<X-PRE-PROCESS cmd="set" data={quoteattr(f"{name}={value}")}/>'
            for name, value in variables.items()
        ]
        self._write("vars.xml", *lines)
        self._write("dialplan.xml", *self._dialplan())
        self._write("dialplan/pbxbill_routes/10_lab.xml", *self._routes("${pbxbill_number}"))
        for phone in self.phones:
            self._write(f"directory/{phone.name}.xml", *_user(phone))
        for gateway in self.gateways:
            self._write(f"gateways/{gateway.name}.xml", *_gateway(gateway))

    def _write(self, name: str, *lines: str) -> None:
        (self.configuration / name).write_text("\n".join(["<include>", *lines, "</include>", ""]))

    def _routes(self, number: str) -> list[str]:
        # A suffix is more particular than none, and the first extension that matches is taken.
        gateways = sorted(self.gateways, key=lambda gateway: not gateway.suffix)
        return [_route(gateway, number) for gateway in gateways]

    def _dialplan(self) -> list[str]:
        return [
            *('<context name="plain">', *self._routes("$1"), "</context>"),
            *('<context name="default">', _include("dialplan/default"), "</context>"),
            '<context name="public">',
            *(_did(did) for did in self.dids if not did.charged),
            _include("dialplan/public"),
            *(_did(did) for did in self.dids if did.charged),
            "</context>",
            _include("dialplan"),
        ]

    def _install(self) -> None:
        """Copy what we ship, with the values that an administrator is asked to fill in."""
        values = {
            '"8021"': f'"{self.esl_port}"',
            "CHANGE-ME": self.esl_password,
            "127.0.0.1:8084": f"127.0.0.1:{self.socket_port}",
            "/var/log/freeswitch/json_cdr": str(self.cdr_log),
        }
        for path in SHIPPED.rglob("*.xml"):
            text = path.read_text()
            for word, value in values.items():
                text = text.replace(word, value)
            target = self.configuration / path.relative_to(SHIPPED)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def _modules(self) -> Path | None:
        prefix = self.binary.parent.parent
        places = (prefix / "mod", prefix / "lib" / "freeswitch" / "mod")
        return next((place for place in places if place.exists()), None)

    def _ready(self) -> bool:
        try:
            if "is ready" not in self.api("status"):
                return False
            return self.api("sofia status").count("\tRUNNING") == 2
        except OSError:
            return False

    def _leave(self) -> None:
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)


def _read_message(readline: Callable[[], bytes], read: Callable[[int], bytes]) -> str:
    """One message of the event socket: its body, or its reply text."""
    headers: dict[str, str] = {}
    while line := readline().strip():
        name, _, value = line.decode(errors="replace").partition(": ")
        headers[name.lower()] = value
    if not headers:
        raise ConnectionError("FreeSWITCH closed the connection")
    length = int(headers.get("content-length", "0"))
    return read(length).decode(errors="replace") if length else headers.get("reply-text", "")


def _include(folder: str) -> str:
    return f'<X-PRE-PROCESS cmd="include" data="{folder}/*.xml"/>'


def _user(phone: Phone) -> list[str]:
    variables = {"accountcode": phone.account_code, "default_language": phone.language}
    if phone.open_on_failure:
        variables["pbxbill_failure_policy"] = "open"
    context = {"phones": "default"}.get(phone.context, phone.context)  # FreeSWITCH's own name for it
    lines = [f"<user id={quoteattr(phone.name)}>"]
    lines += [f'<params><param name="password" value={quoteattr(phone.password)}/>']
    if phone.port:
        contact = f"sofia/carrier/{phone.name}@127.0.0.1:{phone.port}"
        lines += [f'<param name="dial-string" value={quoteattr(contact)}/>']
    lines += ["</params>", f'<variables><variable name="user_context" value={quoteattr(context)}/>']
    lines += [
        f"<variable name={quoteattr(name)} value={quoteattr(value)}/>"
        for name, value in variables.items()
        if value
    ]
    return [*lines, "</variables></user>"]


def _gateway(gateway: Gateway) -> list[str]:
    parameters = {
        "username": gateway.name,
        "password": "none",
        "realm": "127.0.0.1",
        "proxy": f"127.0.0.1:{gateway.port}",
        "register": "false",
        "caller-id-in-from": "true",
    }
    lines = [
        f"<param name={quoteattr(name)} value={quoteattr(value)}/>" for name, value in parameters.items()
    ]
    return [f"<gateway name={quoteattr(gateway.name)}>", *lines, "</gateway>"]


def _route(gateway: Gateway, number: str) -> str:
    """number: what is dialled; "$1" is the number that came, without its plus."""
    pattern = rf"^\+?(\d*{gateway.suffix})$"
    return (
        f'<extension name="to {gateway.name}"><condition field="destination_number" '
        f"expression={quoteattr(pattern)}>"
        f'<action application="bridge" data="sofia/gateway/{gateway.name}/{number}"/></condition></extension>'
    )


def _did(did: Did) -> str:
    if did.cards:
        action = f'<action application="set" data="pbxbill_access_number={did.number}"/>'
        action += '<action application="execute_extension" data="card XML pbxbill"/>'
    elif did.forward_to:
        action = f'<action application="transfer" data="{did.forward_to} XML default"/>'
    else:
        action = f'<action application="bridge" data="user/{did.phone}@127.0.0.1"/>'
    return (
        f'<extension name="DID {did.number}"><condition field="destination_number" '
        f'expression="^{did.number}$">{action}</condition></extension>'
    )
