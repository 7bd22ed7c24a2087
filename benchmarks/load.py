"""One load in a process of its own: orders as JSON in, figures as JSON out."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict

import uvloop

from benchmarks.loads import direct, picking, retrying, streams, unary
from benchmarks.loads.shared import Figures, Orders

CALLS = {
    "create": unary.creates,
    "create-named": unary.named_creates,
    "batch": unary.batches,
    "lookup": unary.lookups,
}


OTHERS = {
    "catch-up": streams.catch_up,
    "live": streams.live,
    "insert": direct.insert,
    "copy": direct.copy,
    "pickup": picking.pickup,
    "retrying": retrying.creates,
}


async def run(orders: Orders) -> Figures:
    """Make the load that was ordered."""
    if orders.kind not in CALLS:
        return await OTHERS[orders.kind](orders)
    call = CALLS[orders.kind](orders)
    return await (unary.open_loop if orders.rate else unary.closed_loop)(orders, call)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(run(Orders(**json.load(sys.stdin))))
    print(json.dumps(asdict(figures)))
