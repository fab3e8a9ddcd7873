"""The ComDefend lab: ``python app.py`` serves the page; ``--help`` says what else it does."""

import sys

from app.cli import main

if __name__ == "__main__":
    sys.exit(main())
