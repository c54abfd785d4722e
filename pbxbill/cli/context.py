"""What every command is given, and how faults leave: one line, exit 2 for bad input, 1 for the rest."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import click

from pbxbill.access.key_file import KeyFile
from pbxbill.app import Application, open_application
from pbxbill.clock import SystemClock
from pbxbill.errors import ConfigurationError, DuplicateKey, InputRefused, PbxbillError
from pbxbill.settings import Settings, find_config, load_settings
from pbxbill.store.engine import told_by

INPUT_FAULTS = (ConfigurationError, InputRefused, DuplicateKey)


class Fault(click.ClickException):
    """A fault on its way out."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """One clear line (a configuration may have several mistakes) on standard error."""
        for line in self.message.splitlines():
            click.echo(f"pbxbill: {line}", file=file or sys.stderr)


class InputFault(Fault):
    """One that the caller of the program can mend."""

    exit_code = 2


class FaultTolerantGroup(click.Group):
    """Commands whose faults of ours end without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except INPUT_FAULTS as error:
            raise InputFault(str(error)) from error
        except PbxbillError as error:
            raise Fault(str(error)) from error


class Context:
    """The configuration, read when a command first asks for it."""

    def __init__(self, config: Path | None) -> None:
        self._explicit = config
        self._settings: Settings | None = None
        self.clock = SystemClock()

    @property
    def config_path(self) -> Path | None:
        """The configuration file in use."""
        return find_config(self._explicit)

    @property
    def wanted_config(self) -> Path | None:
        """The file that --config names, whether or not it exists."""
        return self._explicit

    @property
    def settings(self) -> Settings:
        """The configuration."""
        if self._settings is None:
            self._settings = load_settings(self.config_path)
        return self._settings

    @contextmanager
    def application(self, *, plan_each: bool = False) -> Iterator[Application]:
        """The database, opened. The audit log tells what a command that people call changes in it.

        plan_each: as of open_engine().
        """
        settings = self.settings
        keeper = KeyFile(settings.web.key_file)
        with open_application(
            settings.database_url, settings.redis_url, self.clock, keeper=keeper, plan_each=plan_each
        ) as application:
            from pbxbill.cli.teller import teller_of

            teller = teller_of(self.clock)
            if teller is None:
                yield application
                return
            yield replace(application, database=told_by(application.database, teller))
            teller.finish(application.database)


pass_context = click.make_pass_decorator(Context)
