"""Save an order and record its task in one transaction; then relay what is recorded.

Run `tandem up` first; then `python examples/outbox.py shop.db 7`. Kill it wherever you
like and run `python examples/outbox.py shop.db`: an order that is there has one task.
"""

from __future__ import annotations

import os
import sqlite3
import sys

from tandem.client import Client, Spec
from tandem.outbox import Outbox, Relay

CREATOR = os.environ.get("TANDEM_CREATOR_ADDRESS", "127.0.0.1:7101")
SHOP, ORDERS = sys.argv[1], sys.argv[2:]

outbox = Outbox("sqlite")
shop = sqlite3.connect(SHOP)
if not shop.execute("SELECT 1 FROM sqlite_master").fetchone():
    shop.executescript(
        "BEGIN; CREATE TABLE orders (n TEXT PRIMARY KEY);" + outbox.schema() + "COMMIT;"
    )

for n in ORDERS:
    with shop:  # both, or neither
        shop.execute("INSERT INTO orders VALUES (?)", [n])
        outbox.record(shop, Spec(project="shop", type="echo", payload={"order": n}))
    print("saved", n, flush=True)
shop.close()

with Client(CREATOR) as client:
    relayed = Relay(outbox, lambda: sqlite3.connect(SHOP), client).run_once()
for created in relayed.created:
    print(created.outcome, created.task.task_id, flush=True)
