"""Who calls, and what they may do: scopes, and the check that each answer with a task passes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

Action: TypeAlias = Literal["create", "read", "operate", "process"]
"""`create` makes tasks; `read` sees them and their stream; `operate` cancels, retries,
pauses and resumes; `process` works them, as a member of the group `processors`."""

ACTIONS: Final[tuple[Action, ...]] = get_args(Action)

READING: Final[tuple[Action, ...]] = ("read", "operate", "process")
"""Actions that show tasks. To create one does not: a producer need not see what is there."""

EVERY_PROJECT: Final = "*"

SCOPE: Final = re.compile(
    rf"(?P<action>{'|'.join(ACTIONS)}):"
    r"(?P<project>\*|[A-Za-z0-9][A-Za-z0-9_.-]{0,62})"
)


@dataclass(frozen=True, slots=True)
class Scope:
    """One action in one project, or in every project. As text: `create:billing`, `read:*`."""

    action: Action
    project: str

    def __str__(self) -> str:
        return f"{self.action}:{self.project}"


def parse_scope(text: str) -> Scope:
    """The scope that this text names.

    Raises:
        ValueError: it names none.
    """
    found = SCOPE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"must be action:project, with an action of {', '.join(ACTIONS)}"
            f" and {EVERY_PROJECT} for every project, not {text!r}"
        )
    action: Action = next(each for each in ACTIONS if each == found["action"])
    return Scope(action, found["project"])


EVERYTHING: Final = frozenset(Scope(action, EVERY_PROJECT) for action in ACTIONS)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever made a call, as authentication named them.

    Without scopes they may do nothing.
    """

    name: str
    scopes: frozenset[Scope] = frozenset()

    def may(self, action: Action, project: str) -> bool:
        """Whether the caller may do this in this project; `*` asks for every project."""
        return (
            Scope(action, EVERY_PROJECT) in self.scopes
            or Scope(action, project) in self.scopes
        )

    def may_anywhere(self, actions: Iterable[Action]) -> bool:
        """Whether there is a project in which the caller may do one of these."""
        wanted = frozenset(actions)
        return any(scope.action in wanted for scope in self.scopes)

    def may_read(self, project: str) -> bool:
        """Whether tasks of the project may be shown to this caller.

        Every answer with a task passes here. An id that may not be shown gets
        the answer of an id that is not there.
        """
        return any(self.may(action, project) for action in READING)

    @property
    def may_read_all(self) -> bool:
        """Whether `may_read` holds for every project, so that none need be looked up."""
        return self.may_read(EVERY_PROJECT)


ANONYMOUS: Final = Caller(name="", scopes=EVERYTHING)
"""Anybody, where authentication is off."""

current_caller: ContextVar[Caller] = ContextVar("current_caller", default=ANONYMOUS)
"""Set by `tandem.calls` for as long as one call lasts."""
