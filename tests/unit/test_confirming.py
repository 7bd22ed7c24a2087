from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tandem_processor.confirming import Confirmations


async def test_what_is_confirmed_within_a_moment_shares_a_frame() -> None:
    sent: asyncio.Queue[Sequence[str]] = asyncio.Queue()
    confirmations = Confirmations(sent.put_nowait)

    confirmations.add(["a", "b"])
    confirmations.add(["c"])

    assert sent.empty()
    async with asyncio.timeout(10):
        assert await sent.get() == ["a", "b", "c"]
        confirmations.add(["d"])
        assert await sent.get() == ["d"]


async def test_what_waits_is_sent_once_before_a_stream_is_closed() -> None:
    sent: list[Sequence[str]] = []
    confirmations = Confirmations(sent.append)

    confirmations.add(["a"])
    confirmations.flush()
    confirmations.flush()

    assert sent == [["a"]]
