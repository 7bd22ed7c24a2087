"""A plain function as a handler: it runs in a thread, and may block.

Run it with `tandem up --handlers examples.blocking_handler:handlers`, then
`tandem task create --project examples --type checksum --payload '{"path": "README.md"}'`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tandem.handlers import BlockingContext, DoNotRetry, Handlers

handlers = Handlers()


@handlers.register("checksum")
def checksum(ctx: BlockingContext) -> dict[str, Any]:
    path = Path(str(ctx.payload.get("path", "")))
    if not path.is_file():
        raise DoNotRetry(f"{path} is not a file")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            # A stop or a lost lease shows here; whoever ignores it works for nothing.
            if ctx.cancelled.is_set():
                return {}
            digest.update(block)
    return {"sha256": digest.hexdigest()}
