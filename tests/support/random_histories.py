"""State machines of Hypothesis, driven from a thread while the loop goes on."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

EXAMPLES: Final = int(os.environ.get("TANDEM_MODEL_EXAMPLES", "30"))
"""How many histories, of up to STEPS steps each."""

STEPS: Final = 30


async def run_random_histories(machine: type[RuleBasedStateMachine]) -> None:
    """Fails where one of the machine's histories does."""
    await asyncio.to_thread(
        run_state_machine_as_test,
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            # A race does not come out the same again, and is not made smaller.
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
