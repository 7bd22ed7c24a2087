"""What the server logged during one test."""

from __future__ import annotations

from pathlib import Path


class PostgresLog:
    """The part of a log file that was written since this was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size

    def text(self) -> str:
        """Everything logged since. The server writes before it answers."""
        with self._path.open("rb") as file:
            file.seek(self._start)
            return file.read().decode(errors="replace")

    def errors(self) -> list[str]:
        """The lines at ERROR, FATAL or PANIC."""
        levels = (" ERROR: ", " FATAL: ", " PANIC: ")
        return [
            line
            for line in self.text().splitlines()
            if any(level in line for level in levels)
        ]
