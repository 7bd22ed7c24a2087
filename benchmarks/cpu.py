"""Processor time of processes, as Linux counts it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PROC = Path("/proc")

TICKS = os.sysconf("SC_CLK_TCK")
"""Of the kernel's clock, in a second."""


BESIDE = ("others", "stolen")
"""What goes on by itself, whether or not there is work."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that groups of processes have used, at one moment."""

    at: float
    used: Mapping[str, float]

    @classmethod
    def read(cls, watched: Mapping[str, Iterable[int]]) -> Self:
        """Now. Each group is some processes with their children, by a name."""
        used = {name: _with_children(pids) for name, pids in watched.items()}
        used["load"] = time.process_time() + _ended_children()
        busy, stolen = _whole_machine()
        used["others"] = busy - sum(used.values())
        used["stolen"] = stolen
        return cls(time.perf_counter(), used)

    def cores_since(self, earlier: Clock, *, span: float = 0) -> dict[str, float]:
        """Cores that each group kept busy from `earlier` to this one.

        `span` is of the work, where that took less than the time between the two.
        """
        whole = self.at - earlier.at
        return {
            name: round((used - earlier.used[name]) / self._span(name, span, whole), 2)
            for name, used in self.used.items()
        }

    @staticmethod
    def _span(name: str, span: float, whole: float) -> float:
        return span if span and name not in BESIDE else whole


def _ended_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _whole_machine() -> tuple[float, float]:
    """Seconds that cores were busy, and that the host kept them from being so."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, (PROC / "stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def _with_children(pids: Iterable[int]) -> float:
    wanted = set(pids)
    ticks = sum(
        sum(times)
        for pid, parent, times in _processes()
        if pid in wanted or parent in wanted
    )
    return ticks / TICKS


def _processes() -> Iterable[tuple[int, int, tuple[int, ...]]]:
    """Process id, parent, and ticks: its own and those of children that ended."""
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        yield int(stat.parent.name), int(fields[1]), tuple(map(int, fields[11:15]))
