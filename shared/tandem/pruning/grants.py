"""What the janitor's role may do in the database: exactly this."""

from __future__ import annotations

from typing import Final

from tandem.postgres.privileges import ALL, Expected
from tandem.postgres.roles import JANITOR

STRIPPED_COLUMNS: Final = frozenset(
    {"payload", "title", "labels", "final_state", "finish_time", "prune_time"}
)

EXPECTED: Final = Expected(
    role=JANITOR,
    tables={
        "tasks": {"SELECT": ALL, "UPDATE": STRIPPED_COLUMNS, "DELETE": ALL},
        "task_status": {"SELECT": ALL, "DELETE": ALL},
        "task_stages": {"SELECT": ALL, "DELETE": ALL},
        "task_outputs": {"SELECT": ALL, "DELETE": ALL},
        "content_windows": {"SELECT": ALL, "DELETE": ALL},
        "stream_floor": {"SELECT": ALL, "UPDATE": frozenset({"position"})},
        "retention": {
            "SELECT": ALL,
            "UPDATE": frozenset({"strip_after", "delete_after"}),
        },
        "lanes": {"SELECT": ALL},
        "group_places": {"SELECT": ALL, "DELETE": ALL},
        "takes": {"SELECT": ALL, "DELETE": ALL},
    },
    sequences={"positions": frozenset({"SELECT"})},
    functions=frozenset({"settled_position_v1"}),
)
