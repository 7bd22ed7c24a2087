"""Who may have the next slot."""

from __future__ import annotations

from tandem.handlers import Context, Handlers
from tandem_processor.slots import Slots


async def test_p8_a_slot_that_is_kept_is_for_due_work_until_it_is_released() -> None:
    handlers = Handlers()

    @handlers.register("echo")
    async def echo(ctx: Context) -> None: ...

    slots = Slots(handlers, concurrency=1)
    (share,) = slots.shares
    slots.keep_one()
    kept = slots.room(share), slots.room(share, is_due=True)
    freed = slots.freed
    slots.release()

    assert kept == (0, 1)
    assert slots.room(share) == 1
    assert freed.is_set()
