"""The limits of the contract, in one place. `protos/tandem/v1` states the same ones."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

MAX_PAYLOAD_BYTES: Final = 64 * 1024
"""Of the payload as canonical JSON."""

MAX_PAYLOAD_LEVELS: Final = 32
"""Objects and arrays inside one another."""

MAX_OUTPUT_BYTES: Final = 256 * 1024
"""Of a task's result and stage results together, as JSON."""

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""Beyond it two whole numbers may be one double, and compare equal."""

MAX_LABELS: Final = 16

MAX_TEXT: Final = 255
"""Characters of an external id, a title, a label's value."""

MAX_ANNOTATIONS: Final = 16
"""Of one task, over all its attempts."""

MAX_ERROR_MESSAGE: Final = 4096
"""Characters of an attempt's error."""

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
"""Projects, types, queues, label keys, groups and stages. Match it whole."""

MAX_START_DELAY: Final = timedelta(days=366)
MAX_BACKOFF: Final = timedelta(days=7)
MAX_ATTEMPT_TIMEOUT: Final = timedelta(days=7)
MAX_ATTEMPTS: Final = 100

MIN_CONTENT_WINDOW: Final = timedelta(seconds=1)
MAX_CONTENT_WINDOW: Final = timedelta(hours=24)

DEFAULT_QUEUE: Final = "default"
DEFAULT_MAX_ATTEMPTS: Final = 5
DEFAULT_INITIAL_BACKOFF: Final = timedelta(seconds=1)
DEFAULT_MAX_BACKOFF: Final = timedelta(minutes=10)

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""Of any gRPC message; grpc's own default for what a client accepts."""

MAX_PAGE_BYTES: Final = 3 * 1024 * 1024
"""A page ends here, so that no answer reaches MAX_MESSAGE_BYTES."""

DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 1000
MAX_EXACT_TOTAL: Final = 10_000
"""Tasks that a list counts; of more it says that there are more."""

MAX_BATCH: Final = 1000
"""Tasks in one BatchGetTasks or BatchCreateTasks, ids in one stream message."""

MAX_FULL_BATCH_BYTES: Final = 2 * 1024 * 1024
"""Of a batch whose answer is to repeat every payload."""

MAX_STATS_DAYS: Final = 31
MAX_CREDITS: Final = 10_000

MAX_RESUME_TOKEN: Final = 4096
"""Characters."""

FRAME_SECONDS: Final = 15.0
"""A quiet stream shows that it lives at least this often."""

WORKERS: Final = "processors"
"""The one group whose members work the tasks; any other only reads."""
