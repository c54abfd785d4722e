"""`python -m pbxbill` is the same as `pbxbill`."""

import gc


def main() -> None:
    """The entry point."""
    # Nothing that is loaded is garbage: to look through it again and again took a quarter of the start. The
    # command line turns it on before a command begins.
    gc.disable()
    from pbxbill.cli import cli

    cli(prog_name="pbxbill")


if __name__ == "__main__":
    main()
