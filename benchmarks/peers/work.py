"""Let one peer work: its module's name as argument, Orders as JSON in, figures out."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from dataclasses import asdict
from importlib import import_module
from typing import Any

import uvloop

from benchmarks.peers.working import Orders, work


async def main(name: str, orders: Orders) -> dict[str, Any]:
    peer = import_module(f"benchmarks.peers.{name}_worker")
    async with peer.prepared(orders) as worker:
        return await work(worker, orders)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    given = Orders(**json.load(sys.stdin))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(main(sys.argv[1], given))
    figures = {key: asdict(found[key]) for key in ("drain", "pickup")}
    print(json.dumps({**figures, "version": found["version"]}))
