"""The command line: for people at a terminal, and with `--json` for machines."""

from __future__ import annotations

from typing import Final

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C."""
