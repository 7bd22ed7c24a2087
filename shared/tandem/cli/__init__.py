"""The command line: for people at a terminal, and with `--json` for machines."""

from __future__ import annotations
