"""Later."""

COMMANDS = ()
