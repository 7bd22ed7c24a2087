"""Save an order and record its task in one transaction; then relay what is recorded.

Run `tandem up`, then `python examples/outbox.py shop.db 7`. Kill it wherever you like
and run `python examples/outbox.py shop.db`: an order that is there has one task.
"""

from __future__ import annotations

import os
import sqlite3
import sys

from tandem.client import Client, Spec
from tandem.outbox import Outbox, Relay

outbox, shop = Outbox("sqlite"), sqlite3.connect(sys.argv[1])
if not shop.execute("SELECT 1 FROM sqlite_master").fetchone():
    orders = "CREATE TABLE orders (n TEXT PRIMARY KEY);"
    shop.executescript(f"BEGIN; {orders} {outbox.schema()} COMMIT;")

for n in sys.argv[2:]:
    with shop:  # both, or neither
        shop.execute("INSERT INTO orders VALUES (?)", [n])
        outbox.record(shop, Spec(project="shop", type="echo", payload={"order": n}))
    print("saved", n, flush=True)

with Client(os.environ.get("TANDEM_CREATOR_ADDRESS", "127.0.0.1:7101")) as client:
    relay = Relay(outbox, lambda: sqlite3.connect(sys.argv[1]), client)
    for created in relay.run_once().created:
        print(created.outcome, created.task.task_id, flush=True)
