"""Which members are there and take nothing: what they hold goes to others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

import structlog

from tandem_creator.holdings import Holdings
from tandem_creator.members import Member

log = structlog.get_logger()

LATE_SECONDS: Final = 2.0
"""After so long a pause of this process, whoever was not heard was not listened to."""


class Hearing:
    """Judges the members of one group in one process, by what was heard of them."""

    def __init__(self, group: str, holdings: Holdings, *, resend: float) -> None:
        self._group = group
        self._holdings = holdings
        self._resend = resend
        self._looked: float | None = None
        self._has_waited = False

    def judge(self, members: Collection[Member], *, now: float) -> None:
        """Take back what is not taken or not answered for, and count who is deaf."""
        if self._was_away(now):
            return
        unanswered = self._holdings.unanswered(
            now=now, patience=lambda member: member.patience(self._resend)
        )
        for member in members:
            self._judge_one(member, unanswered.get(member, []), now=now)

    def _was_away(self, now: float) -> bool:
        """Whether to listen for one more round first. Never twice in a row."""
        looked, self._looked = self._looked, now
        is_late = looked is not None and now > looked + LATE_SECONDS
        self._has_waited = is_late and not self._has_waited
        return self._has_waited

    def _judge_one(self, member: Member, unanswered: list[UUID], *, now: float) -> None:
        was_deaf = member.is_deaf
        unsent = member.take_back() if member.notice_stuck(now=now) else []
        if unanswered:
            member.notice_mute(since=now - self._resend, now=now, pause=self._resend)
        self._holdings.give_back(member, [*unsent, *unanswered], now=now)
        if member.is_deaf and not was_deaf:
            log.warning(
                "member is deaf",
                group=self._group,
                processor_id=str(member.processor_id),
                ids=len(unsent) + len(unanswered),
            )
