"""What the creator's role may do in the database: exactly this."""

from __future__ import annotations

from typing import Final

from tandem.postgres.privileges import ALL, Expected
from tandem.postgres.roles import CREATOR

EXPECTED: Final = Expected(
    role=CREATOR,
    tables={
        "tasks": {
            "SELECT": ALL,
            "INSERT": frozenset(
                {
                    "task_id",
                    "project",
                    "request_id",
                    "external_id",
                    "type",
                    "queue",
                    "priority",
                    "payload",
                    "labels",
                    "title",
                    "not_before_time",
                    "start_delay",
                    "max_attempts",
                    "initial_backoff",
                    "max_backoff",
                    "attempt_timeout",
                    "defaulted",
                    "created_by",
                    "trace_context",
                }
            ),
        },
        "task_status": {
            "SELECT": ALL,
            "INSERT": frozenset({"task_id", "lane_id", "position", "due_time"}),
        },
        "task_stages": {"SELECT": ALL},
        "task_outputs": {"SELECT": ALL},
        "task_view": {"SELECT": ALL},
        "lanes": {"SELECT": ALL, "INSERT": frozenset({"queue", "priority"})},
        "epochs": {
            "SELECT": ALL,
            "INSERT": frozenset({"system_identifier", "timeline"}),
        },
        "stream_floor": {"SELECT": ALL},
        "retention": {"SELECT": ALL},
        "queues": {"SELECT": ALL},
        "api_keys": {"SELECT": ALL},
        "group_places": {
            "SELECT": ALL,
            "INSERT": frozenset({"group_name", "lane_id", "position"}),
            "UPDATE": frozenset({"position"}),
        },
        "takes": {
            "SELECT": ALL,
            "INSERT": frozenset(
                {
                    "group_name",
                    "lane_id",
                    "from_position",
                    "to_position",
                    "types",
                    "task_projects",
                    "member_id",
                }
            ),
            "UPDATE": frozenset({"types", "task_projects", "member_id", "take_time"}),
            "DELETE": ALL,
        },
        "group_members": {
            "SELECT": ALL,
            "INSERT": frozenset({"group_name", "creator_name", "members", "deaf"}),
            "UPDATE": frozenset({"members", "deaf", "update_time"}),
            "DELETE": ALL,
        },
        "content_windows": {
            "SELECT": ALL,
            "INSERT": frozenset(
                {"content_key", "task_id", "create_time", "window_length"}
            ),
            "UPDATE": frozenset({"task_id", "create_time", "window_length"}),
        },
    },
    sequences={"positions": frozenset({"SELECT", "USAGE", "UPDATE"})},
    functions=frozenset(
        {
            "marker_key_v1",
            "create_tasks_v1",
            "create_in_windows_v1",
            "settled_position_v1",
            "enter_epoch_v1",
        }
    ),
)
