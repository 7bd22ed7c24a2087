"""Measure one peer: its module's name as argument, where and how long as JSON in."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module

import uvloop

if __name__ == "__main__":
    given = json.load(sys.stdin)
    peer = import_module(f"benchmarks.peers.{sys.argv[1]}_peer")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(peer.main(given["url"], given["seconds"]))
