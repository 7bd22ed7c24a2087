"""The four database roles. What each may do is granted in the migrations."""

from __future__ import annotations

from typing import Final

OWNER: Final = "tandem_owner"
CREATOR: Final = "tandem_creator"
PROCESSOR: Final = "tandem_processor"
JANITOR: Final = "tandem_janitor"

ROLES: Final = (OWNER, CREATOR, PROCESSOR, JANITOR)
SERVING_ROLES: Final = (CREATOR, PROCESSOR, JANITOR)
