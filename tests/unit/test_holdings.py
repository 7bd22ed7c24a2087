from __future__ import annotations

from uuid import UUID, uuid4

from tandem_creator.holdings import Holdings
from tandem_creator.members import Member
from tests.support.members_here import EMAIL, LANE, a_member


def holding(count: int) -> tuple[Holdings, list[UUID]]:
    holdings, task_ids = Holdings(), [uuid4() for _ in range(count)]
    holdings.add(7, LANE, ids=[(task_id, EMAIL) for task_id in task_ids], now=0.0)
    return holdings, task_ids


def sent_to(member: Member) -> list[str]:
    message = member.next_message()
    return list(message.task_ids) if message else []


def test_no_member_is_sent_more_than_its_credit() -> None:
    holdings, _ = holding(10)
    few, many = a_member(2), a_member(5)

    handed = holdings.hand_out(LANE, members=[few, many], now=1.0)

    assert (handed, len(sent_to(few)), len(sent_to(many))) == (7, 2, 5)
    assert (few.credit, many.credit) == (0, 0)


def test_members_with_credit_are_served_in_turn() -> None:
    holdings, _ = holding(10)
    one, two = a_member(50), a_member(50)

    holdings.hand_out(LANE, members=[one, two], now=1.0)

    assert len(sent_to(one)) == len(sent_to(two)) == 5


def test_a_member_is_sent_only_types_that_it_runs() -> None:
    holdings, _ = holding(3)
    other = a_member(5, types=frozenset({"sms"}))

    assert holdings.hand_out(LANE, members=[other], now=1.0) == 0
    assert holdings.remove_stranded([other], idle=0.0, kept=0.0, now=1.0) == [7]


def test_a_take_is_done_when_each_id_is_confirmed() -> None:
    holdings, task_ids = holding(3)
    member = a_member(3)
    holdings.hand_out(LANE, members=[member], now=1.0)

    holdings.confirm(member, task_ids[:2])
    assert holdings.remove_done() == []

    holdings.confirm(member, task_ids)
    assert holdings.remove_done() == [7]


def test_what_another_member_confirms_is_ignored() -> None:
    holdings, task_ids = holding(1)
    member, stranger = a_member(1), a_member(1)
    holdings.hand_out(LANE, members=[member], now=1.0)

    holdings.confirm(stranger, task_ids)

    assert holdings.remove_done() == []


def test_an_id_given_back_goes_to_another_member() -> None:
    holdings, task_ids = holding(1)
    member, other = a_member(9), a_member(9)
    holdings.hand_out(LANE, members=[member], now=1.0)
    member.next_message()

    holdings.give_back(member, task_ids, now=2.0)
    holdings.hand_out(LANE, members=[member, other], now=2.0)

    assert (sent_to(member), sent_to(other)) == ([], [str(task_ids[0])])


def test_an_id_is_sent_again_to_who_gave_it_back_when_time_has_passed() -> None:
    holdings, task_ids = holding(1)
    member = a_member(9)
    holdings.hand_out(LANE, members=[member], now=1.0)
    member.next_message()
    holdings.give_back(member, task_ids, now=2.0)

    holdings.hand_out(LANE, members=[member], now=60.0)

    assert sent_to(member) == [str(task_ids[0])]


def test_an_id_given_back_long_ago_still_goes_to_another_member_first() -> None:
    holdings, task_ids = holding(1)
    member, other = a_member(9), a_member(9)
    holdings.hand_out(LANE, members=[member], now=1.0)
    member.next_message()
    holdings.give_back(member, task_ids, now=2.0)

    holdings.hand_out(LANE, members=[member, other], now=5.0)

    assert (sent_to(member), sent_to(other)) == ([], [str(task_ids[0])])


def test_what_waits_for_credit_too_long_is_left_to_others() -> None:
    holdings, _ = holding(1)
    poor = a_member(0)

    assert holdings.remove_stranded([poor], idle=0.0, kept=0.0, now=1.0) == []
    assert holdings.remove_stranded([poor], idle=1.0, kept=0.0, now=1.0) == [7]
    assert not holdings.take_ids


def test_what_was_taken_long_ahead_is_left_to_others_although_some_is_used() -> None:
    holdings, _ = holding(3)
    slow = a_member(1)
    holdings.hand_out(LANE, members=[slow], now=5.0)

    assert holdings.remove_stranded([slow], idle=4.0, kept=0.0, now=5.0) == []
    assert holdings.remove_stranded([slow], idle=4.0, kept=1.0, now=5.0) == [7]


def test_credit_has_a_bound() -> None:
    member = a_member(9_999)

    member.grant(9_999)

    assert member.credit == 10_000
