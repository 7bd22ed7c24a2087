from __future__ import annotations

from uuid import UUID, uuid4

from structlog.testing import capture_logs

from tandem_creator.hearing import LATE_SECONDS, Hearing
from tandem_creator.holdings import Holdings
from tandem_creator.members import PROBE_SECONDS, STUCK_SECONDS, Member
from tests.support.members_here import EMAIL, LANE, a_member

RESEND = 10.0


class Room:
    """Members, what is held for them, and a clock that jumps in steps of a round."""

    def __init__(self, *members: Member, ids: int) -> None:
        self.members = members
        self.now = 0.0
        self.holdings = Holdings()
        self.ids = [uuid4() for _ in range(ids)]
        self.holdings.add(7, LANE, ids=[(i, EMAIL) for i in self.ids], now=0.0)
        self._hearing = Hearing("processors", self.holdings, resend=RESEND)

    def hand_out(self) -> int:
        return self.holdings.hand_out(LANE, members=self.members, now=self.now)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 1.0
            self._hearing.judge(self.members, now=self.now)

    def pause(self, seconds: float) -> None:
        """Nobody judges, nobody listens: the process was stopped."""
        self.now += seconds
        self._hearing.judge(self.members, now=self.now)


def sent_to(member: Member) -> list[UUID]:
    message = member.next_message()
    return [UUID(task_id) for task_id in message.task_ids] if message else []


def test_ids_of_a_mute_member_go_to_another() -> None:
    mute, other = a_member(5), a_member(5)
    room = Room(mute, ids=2)
    room.hand_out()

    room.wait(RESEND + 1)
    room.members = (mute, other)
    room.hand_out()

    assert mute.is_deaf
    assert sent_to(other) == room.ids


def test_a_member_is_told_of_once_for_each_time_that_it_turns_deaf() -> None:
    mute = a_member(5)
    room = Room(mute, ids=3)
    with capture_logs() as logs:
        room.hand_out()
        room.wait(3 * RESEND)
        mute.answer(now=room.now)
        room.hand_out()
        room.wait(2 * RESEND)

    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("member is deaf", "warning")
    ] * 2
    assert logs[0]["processor_id"] == str(mute.processor_id)
    assert logs[0]["ids"] == 3


def test_a_slow_member_loses_what_it_did_not_answer_for_and_is_not_deaf() -> None:
    slow, other = a_member(5), a_member(5)
    room = Room(slow, ids=2)
    room.hand_out()
    room.wait(RESEND / 2)
    slow.answer(now=room.now)
    room.holdings.confirm(slow, room.ids[:1])

    room.wait(RESEND / 2 + 1)
    room.members = (slow, other)
    room.hand_out()

    assert not slow.is_deaf
    assert sent_to(other) == room.ids[1:]


def test_a_mute_member_is_tried_with_one_id_at_a_time_and_briefly() -> None:
    mute = a_member(9)
    room = Room(mute, ids=4)
    room.hand_out()
    room.wait(RESEND + 1)
    assert room.hand_out() == 0

    room.wait(RESEND)
    assert [room.hand_out() for _ in range(2)] == [1, 0]

    other = a_member(9)
    room.wait(PROBE_SECONDS + 1)
    room.members = (mute, other)
    assert room.hand_out() == 4
    assert len(sent_to(other)) == 4


def test_a_mute_member_that_answers_is_served_again() -> None:
    mute = a_member(9)
    room = Room(mute, ids=4)
    room.hand_out()
    room.wait(RESEND + 1)

    mute.answer(now=room.now)
    room.wait(2)

    assert not mute.is_deaf
    assert room.hand_out() == 4


def test_what_a_stuck_stream_did_not_take_goes_to_another_at_once() -> None:
    stuck, other = a_member(5), a_member(5)
    room = Room(stuck, ids=3)
    room.hand_out()
    stuck.begin_sending(now=room.now)

    room.wait(STUCK_SECONDS + 1)
    room.members = (stuck, other)
    room.hand_out()

    assert stuck.is_deaf
    assert (sent_to(stuck), sent_to(other)) == ([], room.ids)


def test_a_stream_that_takes_again_has_its_credit_whole() -> None:
    stuck = a_member(5)
    room = Room(stuck, ids=3)
    room.hand_out()
    stuck.begin_sending(now=room.now)
    room.wait(STUCK_SECONDS + 1)
    assert stuck.room(now=room.now) == 0

    stuck.end_sending()

    assert not stuck.is_deaf
    assert stuck.room(now=room.now) == 5


def test_nobody_is_judged_by_a_process_that_was_stopped_itself() -> None:
    member = a_member(5)
    room = Room(member, ids=1)
    room.hand_out()
    room.wait(1)

    room.pause(max(RESEND, LATE_SECONDS) + 1)
    assert not member.is_deaf

    room.pause(LATE_SECONDS + 1)
    assert member.is_deaf
