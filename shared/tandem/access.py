"""Who calls, and what they may do: scopes, and the check that each answer with a task passes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
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
    _projects: Mapping[Action, frozenset[str]] = field(
        init=False, repr=False, compare=False
    )
    """By action. Each call asks: two look-ups are all that it costs."""

    _readable: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        projects = {
            action: frozenset(s.project for s in self.scopes if s.action == action)
            for action in ACTIONS
        }
        object.__setattr__(self, "_projects", projects)
        readable = frozenset(s.project for s in self.scopes if s.action in READING)
        object.__setattr__(self, "_readable", readable)

    def may(self, action: Action, project: str) -> bool:
        """Whether the caller may do this in this project; `*` asks for every project."""
        projects = self._projects[action]
        return EVERY_PROJECT in projects or project in projects

    def may_anywhere(self, actions: Iterable[Action]) -> bool:
        """Whether there is a project in which the caller may do one of these."""
        return any(self._projects[action] for action in actions)

    def may_read(self, project: str) -> bool:
        """Whether tasks of the project may be shown to this caller.

        Every answer with a task passes here. An id that may not be shown gets
        the answer of an id that is not there.
        """
        return EVERY_PROJECT in self._readable or project in self._readable

    @property
    def may_read_all(self) -> bool:
        """Whether `may_read` holds for every project, so that none need be looked up."""
        return EVERY_PROJECT in self._readable

    def only(self, action: Action) -> Caller:
        """The same caller, with no more than its scopes of this action."""
        kept = frozenset(scope for scope in self.scopes if scope.action == action)
        return Caller(self.name, kept)


NOBODY: Final = Caller(name="")
"""May do nothing."""

ANONYMOUS: Final = Caller(name="", scopes=EVERYTHING)
"""Anybody, where authentication is off."""

current_caller: ContextVar[Caller] = ContextVar("current_caller", default=NOBODY)
"""Nobody outside of a call. Set by `tandem.calls` for as long as one call lasts."""
