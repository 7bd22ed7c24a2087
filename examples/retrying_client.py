"""Create tasks, each once whatever happens meanwhile, and follow one to its end.

Run `tandem up` first; then `python examples/retrying_client.py`. Stop `tandem up` while
it runs, and start it again: the client goes on. Run it twice: the same texts are the
same intended calls, and so the same tasks.
"""

from __future__ import annotations

import os

from tandem.client import Client, Spec, result_of, state_of
from tandem.errors import RequestIdReused

CREATOR = os.environ.get("TANDEM_CREATOR_ADDRESS", "127.0.0.1:7101")
PROCESSOR = os.environ.get("TANDEM_PROCESSOR_ADDRESS", "127.0.0.1:7102")

tea = Spec(project="examples", type="echo", payload={"topic": "Tea"})
coffee = Spec(project="examples", type="echo", payload={"topic": "Coffee"})

with Client(CREATOR, PROCESSOR) as client:
    created = client.create(tea, request_id="examples/retrying_client/7")
    print(created.outcome, created.task.task_id)
    try:
        client.create(coffee, request_id="examples/retrying_client/7")
    except RequestIdReused as refused:
        print(refused.reason, *(violation.field for violation in refused.violations))
    for task in client.watch(created.task.task_id, full=True, within=60):
        last = task
    print(state_of(last), result_of(last))
