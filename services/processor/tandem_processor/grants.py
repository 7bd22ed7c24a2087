"""What the processor's role may do in the database: exactly this."""

from __future__ import annotations

from typing import Final

from tandem.postgres.privileges import ALL, Expected
from tandem.postgres.roles import PROCESSOR

STATUS_COLUMNS: Final = frozenset(
    {
        "state",
        "attempt",
        "claim",
        "crashes",
        "processor_id",
        "progress",
        "due_time",
        "start_time",
        "update_time",
        "finish_time",
        "cancel_request_time",
    }
)

STAGE_COLUMNS: Final = frozenset(
    {"state", "attempt", "claim", "start_time", "finish_time", "result"}
)

OUTPUT_COLUMNS: Final = frozenset(
    {"claim", "result", "errors", "annotations", "cancel_comment"}
)

EXPECTED: Final = Expected(
    role=PROCESSOR,
    tables={
        "tasks": {"SELECT": ALL},
        "task_status": {"SELECT": ALL, "UPDATE": STATUS_COLUMNS},
        "task_stages": {
            "SELECT": ALL,
            "INSERT": STAGE_COLUMNS | {"task_id", "name"},
            "UPDATE": STAGE_COLUMNS,
        },
        "task_outputs": {
            "SELECT": ALL,
            "INSERT": OUTPUT_COLUMNS | {"task_id"},
            "UPDATE": OUTPUT_COLUMNS,
        },
        "task_view": {"SELECT": ALL},
        "lanes": {"SELECT": ALL},
        "api_keys": {"SELECT": ALL},
        "group_places": {"SELECT": ALL},
        "takes": {"SELECT": ALL},
        "group_members": {"SELECT": ALL},
        "queues": {
            "SELECT": ALL,
            "INSERT": frozenset({"queue", "paused"}),
            "UPDATE": frozenset({"paused"}),
        },
        "processors": {
            "SELECT": ALL,
            "INSERT": frozenset(
                {"processor_id", "host", "process_id", "queues", "types"}
            ),
            "UPDATE": frozenset({"state", "heartbeat_time"}),
            "DELETE": ALL,
        },
        "claim_batches": {
            "SELECT": ALL,
            "INSERT": frozenset({"processor_id", "task_ids"}),
            "DELETE": ALL,
        },
    },
)
