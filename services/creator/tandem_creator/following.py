"""From the words of a StreamCreatedTasksRequest to a place to follow from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from tandem.errors import ResumeTokenExpired, Violation
from tandem.v1 import creator_pb2 as pb
from tandem.validation import Violations
from tandem_creator.connections import Kept
from tandem_creator.epoch import Epoch
from tandem_creator.horizon import Horizon
from tandem_creator.store.positions import read_floor, read_last
from tandem_creator.tokens import MalformedToken, Token, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What a subscriber asked for, checked. Empty sets mean all."""

    queues: Sequence[str]
    projects: Collection[str]
    token: Token | None
    from_now: bool
    until_caught_up: bool

    @property
    def filter(self) -> bytes:
        return digest(self.queues, self.projects)

    def wants(self, project: str) -> bool:
        return not self.projects or project in self.projects

    def token_at(self, position: int, *, epoch_id: UUID) -> Token:
        return Token(epoch_id, position, self.filter)


def parse_following(request: pb.StreamCreatedTasksRequest) -> Following:
    """The request, checked.

    Raises:
        InvalidRequest: names every field at fault.
    """
    found = Violations()
    starts = pb.StreamCreatedTasksRequest.Start
    found.known_enum("start", request.start, starts.values())
    queues = found.names("queues", request.queues)
    projects = found.names("projects", request.projects)
    token = _parse_token(request.resume_token, found)
    if token and token.filter != digest(queues, projects):
        found.add("resume_token", "belongs to other queues or projects")
    found.refuse()
    return Following(
        queues=queues,
        projects=frozenset(projects),
        token=token,
        from_now=token is None and request.start == starts.START_NOW,
        until_caught_up=request.until_caught_up,
    )


def _parse_token(text: str, found: Violations) -> Token | None:
    if not text:
        return None
    try:
        return Token.parse(text)
    except MalformedToken:
        found.add("resume_token", "is not one that this service gave")
        return None


@dataclass(frozen=True, slots=True)
class Start:
    """From where a subscriber is sent ids."""

    place: int
    """Everything after it has yet to be sent."""

    gaps_to: int = 0
    """Up to here ids may be missing: who begins at the beginning gets what is kept."""


async def starting_place(
    following: Following, *, kept: Kept, horizon: Horizon, epoch: Epoch
) -> Start:
    """Where the subscriber begins.

    Raises:
        ResumeTokenExpired: its token is older than retention, or of another history.
    """
    if following.from_now:
        return Start(await horizon.refresh())
    async with kept.connected() as connection:
        floor = await read_floor(connection)
        # Not the settled position: another creator's may be ahead of this one's.
        last = await read_last(connection)
    if following.token is None:
        # What is not finished is kept, however old it is.
        return Start(0, gaps_to=floor)
    here = following.token.epoch_id == epoch.current
    if not here or not floor <= following.token.position <= last:
        raise expired(following, floor, epoch=epoch)
    return Start(following.token.position)


def expired(following: Following, floor: int, *, epoch: Epoch) -> ResumeTokenExpired:
    """Why the subscriber cannot be sent everything after its place."""
    earliest = following.token_at(floor, epoch_id=epoch.current)
    return ResumeTokenExpired(
        "the token is older than what is kept, or of another history of the database",
        violations=[Violation("resume_token", "has expired")],
        earliest_resume_token=str(earliest),
    )
