"""`python -m forgehand`: the command line."""

import sys

from forgehand.entrypoints.cli import main

if __name__ == "__main__":
    sys.exit(main())
