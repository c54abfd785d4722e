"""What `pbxbill install` would change in a switch's configuration, worked out before anything is written.

Files of ours are copied; files of the administrator get lines at their end and nothing else. A file of ours
that somebody changed, or that was there before us, is kept unless its replacement is asked for by name.
What was written is remembered by its hash beside the files, so that a newer version replaces an older one.
"""

import difflib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import quoteattr

from pbxbill.errors import ConfigurationError, InputRefused

MEMORY = ".pbxbill-installed.json"
SECRET_FILE = "pbxbill.secret"  # noqa: S105  # a file's name
PLACEHOLDER = "CHANGE-ME"
MASK = "********"
_SECRETS = re.compile(r'(name="password"\s+value="|^[-+ ]\s*secret\s*=>?\s*)[^"\n]*', re.MULTILINE)
_GENERAL = re.compile(r"^\s*\[general\].*?(?=^\s*\[|\Z)", re.MULTILINE | re.DOTALL)
_SETTING = re.compile(r"^[ \t]*(\w+)[ \t]*=>?[ \t]*([^;\n]*?)[ \t]*(?:;.*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Change:
    """One file that would be written."""

    name: str
    before: str | None
    """None: the file is new."""
    after: str
    ours: bool
    """The whole file is ours; else only lines were added to the administrator's."""
    secret: bool = False
    """It holds nothing but a secret."""

    def diff(self) -> str:
        """The difference as `patch` takes it, passwords and secrets masked."""
        old = [] if self.before is None else self.before.splitlines()
        source = "/dev/null" if self.before is None else self.name
        new = [MASK] if self.secret else self.after.splitlines()
        lines = difflib.unified_diff(old, new, source, self.name, lineterm="")
        return _SECRETS.sub(rf"\1{MASK}", "\n".join(lines))


@dataclass(slots=True)
class Plan:
    """Everything that an installation would do."""

    etc: Path
    secret: str
    """What the switch will expect of pbxbill."""
    secret_file: Path
    """Where pbxbill would read it."""
    secret_is_kept: bool
    """pbxbill's configuration or that file says it already."""
    secret_is_new: bool
    """Nobody knows it yet."""
    changes: list[Change] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Files that differ from ours and stay as they are."""
    notes: list[str] = field(default_factory=list)
    """What is left to do after this installation."""
    warnings: list[str] = field(default_factory=list)
    """What is not as it should be, whether or not anything is installed."""
    _memory: dict[str, str] = field(default_factory=dict)

    def own(self, name: str, content: str, replace: frozenset[str]) -> None:
        """A file that is all ours."""
        before = _read(self.etc / name)
        if before == content:
            return
        untouched = before is None or _hash(before) == self._memory.get(name)
        if untouched or name in replace:
            self.changes.append(Change(name, before, content, ours=True))
        else:
            self.kept.append(name)

    def edit(self, name: str, change: Callable[[str], str]) -> None:
        """A file of the administrator's that gets something added."""
        before = _read(self.etc / name)
        after = change(before or "")
        if after != (before or ""):
            self.changes.append(Change(name, before, after, ours=False))

    def keep_secret(self, holder: str, *, told: bool) -> None:
        """Write the secret down for pbxbill; told: the holder, a file of the switch, has it from us."""
        if self.secret_is_kept:
            return
        if self.secret_is_new and not told:
            self.warnings.append(f"{holder} has a secret of yours: write it into {self.secret_file}")
            return
        inside = self.secret_file.is_relative_to(self.etc)
        name = str(self.secret_file.relative_to(self.etc) if inside else self.secret_file)
        self.changes.append(Change(name, None, f"{self.secret}\n", ours=False, secret=True))

    def write(self, stamp: str) -> list[Path]:
        """Write the changes, keep what was there before as NAME.pbxbill-STAMP; returns these copies."""
        copies = []
        try:
            for change in self.changes:
                path = self.etc / change.name
                path.parent.mkdir(parents=True, exist_ok=True)
                if change.before is not None:
                    copy = path.with_name(f"{path.name}.pbxbill-{stamp}")
                    shutil.copy2(path, copy)
                    copies.append(copy)
                _replace(path, change.after)
                if change.ours:
                    self._memory[change.name] = _hash(change.after)
            _replace(self.etc / MEMORY, json.dumps(self._memory, indent=1, sort_keys=True) + "\n")
        except OSError as error:
            raise ConfigurationError(f"{error.filename} cannot be written: {error.strerror}") from None
        return copies


def start_plan(etc: Path, configured_secret: str, missing_file: Path | None = None) -> Plan:
    """A plan without changes; its secret is the configured one, that of an earlier installation, or new.

    missing_file: what the configuration names as the file of the secret, where there is none yet.
    """
    if not etc.is_dir():
        raise InputRefused(f"{etc} is no folder; name the switch's configuration folder by --etc")
    etc = etc.resolve()
    memory = _read(etc / MEMORY)
    earlier = (_read(etc / SECRET_FILE) or "").strip()
    known = configured_secret or earlier
    plan = Plan(
        etc,
        known or secrets.token_urlsafe(24),
        missing_file or etc / SECRET_FILE,
        secret_is_kept=missing_file is None and bool(known),
        secret_is_new=not known,
    )
    if memory is not None:
        try:
            plan._memory = dict(json.loads(memory))
        except ValueError:
            raise ConfigurationError(
                f"{etc / MEMORY} is broken; remove it: our files then count as yours"
            ) from None
    return plan


def missing_file(path: Path | None) -> Path | None:
    """A file that the configuration names and nobody made yet."""
    return path.absolute() if path is not None and _read(path) is None else None


def shipped_files(folder: str) -> Path:
    """Our files for a switch: inside the installed package, or the folder of a source tree."""
    package = Path(__file__).parent.parent
    for candidate in (package / "switch_files" / folder, package.parent / folder):
        if candidate.is_dir():
            return candidate
    raise ConfigurationError(f"the files of {folder} are not part of this installation")


# --- Asterisk -------------------------------------------------------------------------------------

MANAGER_USER = """\
[{user}]
secret = {secret}
deny = 0.0.0.0/0.0.0.0
permit = 127.0.0.1/255.255.255.255
read = call,system
write = call,originate,reporting
writetimeout = 5000
"""


def plan_asterisk(plan: Plan, user: str, replace: frozenset[str]) -> None:
    """Our files beside the administrator's, and an #include at the end of each of these."""
    shipped = shipped_files("dialplan")
    for path in sorted(shipped.glob("*_pbxbill.conf*")):
        plan.own(path.name, path.read_text(), replace)
    plan.edit("extensions.conf", lambda text: with_include(text, "extensions_pbxbill.conf"))
    plan.edit("cdr_custom.conf", lambda text: with_include(text, "cdr_custom_pbxbill.conf"))
    plan.edit(
        "cdr.conf",
        lambda text: with_settings(text, {"enable": "yes", "unanswered": "yes", "endbeforehexten": "yes"}),
    )

    _plan_manager(plan, user, general_settings((shipped / "manager_pbxbill.conf").read_text())["channelvars"])
    plan.notes += [
        "then: asterisk -rx 'core reload'",
        "call Gosub(pbxbill,outbound,1(${EXTEN})) before Dial; extensions_pbxbill.conf begins with examples",
        "give each endpoint an accountcode (pjsip_pbxbill.conf.sample)",
    ]


def _plan_manager(plan: Plan, user: str, channel_variables: str) -> None:
    name = "manager.conf"
    before = _read(plan.etc / name) or ""
    general = general_settings(before)
    wanted = {"enabled": "yes"}
    address = general.get("bindaddr", "")
    if not address:
        # Without an address Asterisk listens on all of them.
        wanted["bindaddr"] = "127.0.0.1"
        if general.get("enabled", "no").lower() in {"yes", "true", "on", "1"}:
            plan.notes.append(f"{name}: the manager interface is no longer open to other machines")
    elif not address.startswith(("127.", "::1", "[::1]", "localhost")):
        plan.warnings.append(
            f"{name}: bindaddr = {address} opens the manager interface to other machines; "
            "unless they need it, write bindaddr = 127.0.0.1"
        )
    # A semicolon would begin a comment.
    section = MANAGER_USER.format(user=user, secret=plan.secret.replace(";", r"\;"))
    is_there = re.search(rf"^\s*\[{re.escape(user)}\]", before, re.MULTILINE) is not None

    def change(text: str) -> str:
        text = with_include(with_settings(text, wanted), "manager_pbxbill.conf")
        text = with_channel_variables(text, channel_variables)
        return text if is_there else _appended(text, section)

    plan.edit(name, change)
    plan.keep_secret(f"[{user}] of {name}", told=not is_there)


def with_channel_variables(text: str, ours: str) -> str:
    """A manager.conf whose own channelvars, if any, hold ours too: to Asterisk the last line counts."""
    present = general_settings(text).get("channelvars", "")
    if not present:
        return text
    names = [name.strip() for name in f"{present},{ours}".split(",")]
    wanted = ",".join(dict.fromkeys(names))
    below = text[text.rindex("manager_pbxbill.conf") :]
    if general_settings(below).get("channelvars", "") == wanted:
        return text
    return _appended(text, f"[general](+)\nchannelvars = {wanted} ; pbxbill\n")


def general_settings(text: str) -> dict[str, str]:
    """What the [general] sections of a file say; the last line counts, as it does for Asterisk."""
    return dict(_SETTING.findall("\n".join(_GENERAL.findall(text))))


def with_include(text: str, name: str) -> str:
    """A configuration file with an #include at its end."""
    if re.search(rf"^\s*#(try)?include\s+[\"<]?(.*/)?{re.escape(name)}", text, re.MULTILINE):
        return text
    return _appended(text, f'#include "{name}"\n')


def with_settings(text: str, wanted: dict[str, str]) -> str:
    """A configuration file whose [general] says what is wanted; only what is missing or other is added."""
    present = general_settings(text)
    missing = {key: value for key, value in wanted.items() if present.get(key, "").lower() != value}
    if not missing:
        return text
    head = "[general](+)" if _GENERAL.search(text) else "[general]"
    lines = "".join(f"{key} = {value} ; pbxbill\n" for key, value in missing.items())
    return _appended(text, f"{head}\n{lines}")


def _appended(text: str, addition: str) -> str:
    if not text:
        return addition
    return f"{text}{'' if text.endswith(chr(10)) else chr(10)}\n{addition}"


# --- FreeSWITCH -----------------------------------------------------------------------------------

OUTBOUND_SOCKET = "127.0.0.1:8084"
CDR_FOLDER = "/var/log/freeswitch/json_cdr"
MODULES = ("mod_event_socket", "mod_json_cdr")
MODULES_FILE = "autoload_configs/modules.conf.xml"
EVENT_SOCKET = "autoload_configs/event_socket.conf.xml"
NOT_COPIED = ("README.md", "autoload_configs/cdr_csv.conf.xml")
"""cdr_csv is the other way to keep records, for those who prefer it."""


def plan_freeswitch(plan: Plan, places: Mapping[str, str], replace: frozenset[str]) -> None:
    """Our tree into the switch's; the modules that it needs loaded.

    places: what stands in our files for a socket or folder, and what it is here.
    """
    shipped = shipped_files("freeswitch-conf")
    for path in sorted(path for path in shipped.rglob("*") if path.is_file()):
        name = path.relative_to(shipped).as_posix()
        if name in NOT_COPIED:
            continue
        content = path.read_text().replace(f'"{PLACEHOLDER}"', quoteattr(plan.secret))
        for ours, here in places.items():
            content = content.replace(ours, here)
        plan.own(name, content, replace)
    if (plan.etc / MODULES_FILE).exists():
        plan.edit(MODULES_FILE, with_modules)
    else:
        plan.notes.append(f"load {' and '.join(MODULES)}: there is no {MODULES_FILE} to add them to")
    if EVENT_SOCKET in plan.kept and plan.secret_is_kept:
        plan.notes.append(f"{EVENT_SOCKET} stays yours: put its password into pbxbill's configuration")
    plan.keep_secret(EVENT_SOCKET, told=EVENT_SOCKET not in plan.kept)
    plan.notes.append("then: fs_cli -x reloadxml (and restart FreeSWITCH if modules were added)")


def with_modules(text: str) -> str:
    """modules.conf.xml with what pbxbill needs, added before the end of the list."""
    active = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    missing = [name for name in MODULES if f'module="{name}"' not in active]
    lines = "".join(f'    <load module="{name}"/>\n' for name in missing)
    head, end, tail = text.rpartition("</modules>")
    if not missing or not end:
        return text
    return f"{head.rstrip(' ')}{lines}  {end}{tail}"


# --- files ----------------------------------------------------------------------------------------


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()


def _replace(path: Path, content: str) -> None:
    # In one step, with the rights the file had: a switch that reloads meanwhile reads the old or the new one.
    temporary = path.with_name(f".{path.name}.pbxbill")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(content)
    if path.exists():
        status = path.stat()
        os.chmod(temporary, status.st_mode & 0o7777)
        _chown(temporary, status)
    else:
        # As the folder's owner and group, so that the switch, and who is in its group, may read it.
        os.chmod(temporary, 0o640)
        _chown(temporary, path.parent.stat())
    os.replace(temporary, path)


def _chown(path: Path, status: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(path, status.st_uid, status.st_gid)
