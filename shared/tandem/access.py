"""Who calls, and the one check that decides whether they may see a task."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever made a call, as authentication named them; empty where it is off."""

    name: str = ""

    def may_read(self, project: str) -> bool:
        """Whether tasks of the project may be shown to this caller.

        Every answer with a task passes here. An id that may not be shown gets
        the answer of an id that is not there.
        """
        return bool(project)

    @property
    def may_read_all(self) -> bool:
        """Whether `may_read` holds for every project, so that none need be looked up."""
        return True


ANONYMOUS: Final = Caller()

current_caller: ContextVar[Caller] = ContextVar("current_caller", default=ANONYMOUS)
"""Set by `tandem.calls` for as long as one call lasts."""
