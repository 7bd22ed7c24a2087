"""Where lines of a log are written, and when."""

from __future__ import annotations

import asyncio
import io
import threading

from tandem.log_output import LogOutput


class Counting(io.StringIO):
    """Counts how often it is written to."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def say(output: LogOutput, *lines: str) -> None:
    for line in lines:
        output.write(line)
        output.flush()


def test_without_a_loop_each_line_is_written_as_it_comes() -> None:
    out = Counting()
    say(LogOutput(out), "one ", "two ")
    assert (out.getvalue(), out.writes) == ("one two ", 2)


async def test_what_one_turn_logs_is_written_at_its_end_at_once() -> None:
    out = Counting()
    output = LogOutput(out)
    with output.gathered():
        for turn in range(1, 3):
            say(output, "one ", "two ")
            assert out.writes == turn - 1
            await asyncio.sleep(0)
            assert out.writes == turn
    assert out.getvalue() == "one two " * 2


async def test_another_thread_waits_for_no_turn() -> None:
    out = Counting()
    output = LogOutput(out)
    with output.gathered():
        other = threading.Thread(target=say, args=(output, "theirs "))
        other.start()
        other.join(15)
        assert out.getvalue() == "theirs "


async def test_nothing_is_left_behind_at_the_end() -> None:
    out = Counting()
    output = LogOutput(out)
    with output.gathered():
        say(output, "last ")
    assert out.getvalue() == "last "
    say(output, "after ")
    assert out.getvalue() == "last after "


async def test_a_line_that_comes_while_another_is_logged_leaves_nothing_behind() -> (
    None
):
    """The collector may log in the middle of anything."""
    out = Counting()
    output = LogOutput(out)
    with output.gathered():
        output.write("outer ")
        say(output, "inner ")
        output.flush()
        await asyncio.sleep(0)
        assert out.getvalue() == "outer inner "
        say(output, "next ")
        await asyncio.sleep(0)
        assert out.getvalue() == "outer inner next "


async def test_a_reader_who_is_gone_harms_nobody() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    output = LogOutput(Gone())
    with output.gathered():
        say(output, "lost")
        await asyncio.sleep(0)
    say(output, "lost")
