"""What the services write: kept in a file, and searched for what must not be there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

LONGEST: Final = 300
"""Characters of a line that are shown."""


class Lines:
    """Takes every line of every process."""

    def __init__(self, path: Path) -> None:
        self.defects: list[str] = []
        self._file = path.open("w")

    def close(self) -> None:
        self._file.close()

    def add(self, label: str, line: str) -> None:
        self._file.write(f"{label} {line}\n")
        self._file.flush()
        if _is_defect(line):
            self.defects.append(f"{label} wrote: {line[:LONGEST]}")


def _is_defect(line: str) -> bool:
    """No fault of the surroundings is logged as an error, nor ends in a traceback."""
    try:
        fields = json.loads(line)
    except ValueError:
        return "Traceback (most recent call last)" in line
    return isinstance(fields, dict) and fields.get("level") in {"error", "critical"}
