"""``python -m ziggurat.node`` runs the command ``ziggurat``."""

import sys

from ziggurat.node.cli import main

if __name__ == "__main__":
    sys.exit(main())
