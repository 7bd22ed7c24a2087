"""Judges what a run left behind. It knows nothing of the services but their promises.

`python -m tests.faults.checker FOLDER` reads every journal in the folder, prints each
violation, and ends with 1 if there is one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.faults import (
    attempt_rules,
    creation_rules,
    final_rules,
    stage_rules,
    stream_rules,
)
from tests.faults.records import History, load

Rule = Callable[[History], Iterator[str]]

RULES: Final[Sequence[Rule]] = (
    creation_rules.answers_name_what_is_stored,
    creation_rules.one_task_for_each_id,
    creation_rules.one_call_made_each_task,
    creation_rules.every_task_was_asked_for,
    creation_rules.specs_stay,
    creation_rules.answered_tasks_are_visible,
    creation_rules.errors_are_honest,
    creation_rules.statuses_are_whole,
    attempt_rules.attempts_are_of_tasks,
    attempt_rules.one_claim_has_one_holder,
    attempt_rules.attempts_grow_with_claims,
    attempt_rules.attempts_are_bounded,
    attempt_rules.successes_were_returned,
    attempt_rules.failures_are_one_an_attempt,
    attempt_rules.failures_were_raised,
    stage_rules.kept_stages_were_run,
    stage_rules.stages_are_kept_for_good,
    stage_rules.kept_stages_are_not_run_again,
    stage_rules.stale_claims_keep_nothing,
    final_rules.every_task_ends,
    final_rules.ends_have_reasons,
    final_rules.final_states_stay,
    final_rules.final_tasks_do_not_run,
    final_rules.cancelled_tasks_stop,
    stream_rules.subscribers_saw_everything,
    stream_rules.openings_go_on_in_order,
)


def violations(history: History) -> list[str]:
    """What cannot be, in words; nothing where every promise was kept."""
    return [found for rule in RULES for found in rule(history)]


def main() -> int:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.faults.checker FOLDER")
    found = violations(load(Path(sys.argv[1])))
    sys.stdout.write("".join(f"{each}\n" for each in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
