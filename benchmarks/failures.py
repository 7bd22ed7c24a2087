"""`make bench-failures`: how soon everything goes on after what breaks.

Whatever a row does not say, services have their default settings. Each is measured
some times, in a database of its own.
"""

from __future__ import annotations

import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from benchmarks import breakable, failing
from benchmarks.create import RESULTS
from benchmarks.databases import Databases, databases
from benchmarks.pair import Place
from benchmarks.report import heading, table
from benchmarks.stopping import stop_on_sigterm

HEAD = ("row", "when", "what is timed", "limit", "median", "longest")

READING = """\
Seconds. *The longest task* is the time from the create of a task to its end, of the one that took longest among
50 a second whose handler does nothing, from a second before the failure on."""

LONGEST = "the longest task"


@dataclass(frozen=True, slots=True)
class Failure:
    """One row. `limit` is what settings and code allow."""

    name: str
    when: str
    timed: str
    limit: str
    take: Callable[[Place, str], float]

    @property
    def database(self) -> str:
        return f"failure_{self.name[2:]}"


FAILURES = (
    Failure("F-0", "nothing breaks", LONGEST, "", failing.undisturbed),
    Failure(
        "F-1",
        "one of two processors is killed, with 1,000 tasks running",
        "past its dead-after time of 5 s: all of them run again",
        "",
        failing.killed_processor,
    ),
    Failure(
        "F-2",
        "one of two processors is told to stop, with 1,000 handlers that do not end",
        "past its grace of 2 s: all of them run again",
        "",
        failing.stopped_processor,
    ),
    Failure(
        "F-3",
        "one of two processors is stopped (SIGSTOP) and stays connected",
        LONGEST,
        "10, or 15 for what it had claimed",
        failing.silent_processor,
    ),
    Failure(
        "F-4",
        "the only creator is killed, and started again at once",
        "the longest call of 16 clients that repeat",
        "",
        failing.restarted_creator,
    ),
    Failure(
        "F-5",
        "the creator that the processor follows is killed; there is another one",
        LONGEST,
        "5",
        partial(failing.lost_creator, number=signal.SIGKILL),
    ),
    Failure(
        "F-6",
        "the same creator is stopped (SIGSTOP) and stays connected",
        LONGEST,
        "8",
        partial(failing.lost_creator, number=signal.SIGSTOP),
    ),
    Failure(
        "F-7",
        "the connection from the only processor to its creator breaks",
        LONGEST,
        "2",
        partial(failing.broken_path, break_=breakable.Path.reset, alone=True),
    ),
    Failure(
        "F-8",
        "the connection from one of two processors dies without a word",
        LONGEST,
        "8",
        partial(failing.broken_path, break_=breakable.Path.die, alone=False),
    ),
    Failure(
        "F-9",
        "no bell reaches the creator that the processor follows",
        LONGEST,
        "1",
        failing.silent_bell,
    ),
    Failure(
        "F-10",
        "Postgres is killed, and recovers",
        "from its return to the end of a task that is created then",
        "2",
        failing.killed_postgres,
    ),
    Failure(
        "F-11",
        "the primary is killed, and its standby promoted at once",
        "from its end to the first create that succeeds, the promotion included",
        "",
        failing.failed_over,
    ),
    Failure(
        "F-12",
        "a handler is stuck",
        "past its attempt's timeout: the task is final",
        "",
        failing.stuck_handler,
    ),
    Failure(
        "F-13",
        "somebody locks the table of tasks",
        "from a create to `UNAVAILABLE`",
        "1",
        failing.locked_table,
    ),
    Failure(
        "F-14",
        "the answer of a commit is lost",
        "from a client's create to the answer of its own repeat, which finds the task",
        "",
        failing.lost_commit,
    ),
    Failure(
        "F-15",
        "a task kills each processor that runs it; there are four",
        "from its create until it is FAILED, their dead-after time of 5 s three times included",
        "",
        failing.poison_task,
    ),
)


@click.command()
@click.option("--rounds", default=3, help="Each is measured so many times.")
@click.option("--only", default="", help="Measure only the rows named, with commas.")
@click.option("--append", is_flag=True, help=f"Append the table to {RESULTS.name}.")
def main(*, rounds: int, only: str, append: bool) -> None:
    """Measure how soon everything goes on after what breaks."""
    stop_on_sigterm()
    chosen = [each for each in FAILURES if not only or each.name in only.split(",")]
    if not chosen:
        raise click.UsageError(f"no row is named {only}")
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # the account of Postgres passes through
        copies = [each.database for each in chosen]
        with databases(folder / "postgres", copies) as ready:
            place = Place(folder=folder, databases=ready)
            found = {each: list(_taken(each, place, rounds)) for each in chosen}
            told = _report(found, ready, rounds=rounds)
    click.echo(told)
    if append:
        with RESULTS.open("a") as file:
            file.write(f"\n{told}")


def _taken(failure: Failure, place: Place, rounds: int) -> Iterator[float]:
    for number in range(1, rounds + 1):
        seconds = failure.take(place, failure.database)
        print(f"{failure.name}, round {number}: {seconds:.2f} s", file=sys.stderr)
        yield seconds


def _report(
    found: Mapping[Failure, Sequence[float]], made: Databases, *, rounds: int
) -> str:
    title = f"what happens when something breaks, {rounds} rounds"
    body = [_row(failure, seconds) for failure, seconds in found.items()]
    return "\n".join(
        [*heading(title, made, {}), "", READING, "", *table(HEAD, body), ""]
    )


def _row(failure: Failure, seconds: Sequence[float]) -> Sequence[str]:
    return (
        failure.name,
        failure.when,
        failure.timed,
        failure.limit,
        f"{statistics.median(seconds):.2f}",
        f"{max(seconds):.2f}",
    )


if __name__ == "__main__":
    main()
