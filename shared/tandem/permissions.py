"""What each method needs: the one table, and the checks that come before anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from tandem import limits
from tandem.access import EVERY_PROJECT, READING, SCOPE, Action, Caller
from tandem.errors import PermissionDenied

Projects: TypeAlias = Callable[[Any], Iterable[str]]
"""The projects that a request names."""


def _none(_request: Any) -> Iterable[str]:
    """Its ids say nothing of projects: what may not be read is as if it were not there."""
    return ()


def _own(request: Any) -> Iterable[str]:
    return (request.project,)


def _of_spec(request: Any) -> Iterable[str]:
    return (request.spec.project,)


def _of_each_spec(request: Any) -> Iterable[str]:
    return {each.spec.project for each in request.requests}


def _several(request: Any) -> Iterable[str]:
    return tuple(request.projects)


def _every(_request: Any) -> Iterable[str]:
    return (EVERY_PROJECT,)


@dataclass(frozen=True, slots=True)
class Rule:
    """Any one of the actions, in each of the projects. No actions: whoever is known."""

    actions: tuple[Action, ...]
    projects: Projects = _none

    def require_use(self, caller: Caller) -> None:
        """Before the request is looked at: there is a project in which they may.

        Raises:
            PermissionDenied: there is none.
        """
        if self.actions and not caller.may_anywhere(self.actions):
            raise denied(self.actions)

    def require_projects(self, caller: Caller, request: Any) -> None:
        """Before the request is checked: they may in each project that it names.

        Raises:
            PermissionDenied: not in one of them, whether it has tasks or not.
        """
        for project in self.projects(request):
            if not any(caller.may(action, project) for action in self.actions):
                raise denied(self.actions, project)


def denied(actions: Iterable[Action], project: str = "") -> PermissionDenied:
    """The refusal: it names scopes, of which one is missing, and nothing that exists."""
    scopes = [f"{action}:{project}" for action in actions]
    if all(SCOPE.fullmatch(scope) for scope in scopes):
        return PermissionDenied(f"this call needs the scope {' or '.join(scopes)}")
    needed = " or ".join(actions)
    return PermissionDenied(f"this call needs a scope to {needed} in its project")


def group_rule(group: str) -> Rule:
    """What members of this group need. Which tasks they get is another question."""
    return Rule(("process",) if group == limits.WORKERS else READING)


CREATOR: Final = "tandem.v1.CreatorService"
PROCESSOR: Final = "tandem.v1.ProcessorService"

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        f"{CREATOR}.CreateTask": Rule(("create",), _of_spec),
        f"{CREATOR}.BatchCreateTasks": Rule(("create",), _of_each_spec),
        f"{CREATOR}.LookupTask": Rule(("create", *READING), _own),
        f"{CREATOR}.StreamCreatedTasks": Rule(READING, _several),
        # By its first message: see `group_rule`.
        f"{CREATOR}.ConsumeCreatedTasks": Rule(READING),
        f"{PROCESSOR}.GetTask": Rule(READING),
        f"{PROCESSOR}.BatchGetTasks": Rule(READING),
        f"{PROCESSOR}.ListTasks": Rule(READING, _own),
        f"{PROCESSOR}.WatchTask": Rule(READING),
        # In the task's own project: once the task is known to be one they may read.
        f"{PROCESSOR}.CancelTask": Rule(("operate",)),
        f"{PROCESSOR}.RetryTask": Rule(("operate",)),
        # A queue is shared by all projects.
        f"{PROCESSOR}.PauseQueue": Rule(("operate",), _every),
        f"{PROCESSOR}.ResumeQueue": Rule(("operate",), _every),
        # A project that they may not read counts as empty.
        f"{PROCESSOR}.GetStats": Rule(READING),
        "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo": Rule(()),
    }
)
"""By the method's full name. A service with a method that is missing here does not start."""
