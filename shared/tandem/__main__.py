"""The command `tandem`, also as `python -m tandem`."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Final

from tandem.cli import INTERRUPTED

NEEDED: Final = ("asyncpg", "click", "grpc_health", "markdown_it", "rich", "structlog")

ABSENT: Final = (
    "tandem: this is the base install, which only brings the client;"
    " the command needs 'tandem-tasks[server]', from where this came"
)


def main() -> int:
    """Run the command line, and answer its exit code."""
    # The imports take a moment, in which Ctrl-C may come as at any other.
    try:
        return _run()
    except KeyboardInterrupt:
        return INTERRUPTED


def _run() -> int:
    if not all(find_spec(package) for package in NEEDED):
        print(ABSENT, file=sys.stderr)  # noqa: T201 - the command's own voice
        return 2
    # Read by grpc as it is imported: its fork handlers only get in the way of a
    # command that starts programs, and say so on standard error.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    # Imported late: the base install lacks what it stands on.
    from tandem.cli.app import run  # noqa: PLC0415

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
