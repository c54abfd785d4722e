"""`python -m pbxbill` is the same as `pbxbill`."""

from pbxbill.cli import main

if __name__ == "__main__":
    main()
