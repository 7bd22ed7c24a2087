"""A plain function as a handler: it runs in a thread, and may block.

Run it with `tandem up --handlers examples.blocking_handler:handlers`, then
`tandem task create --project examples --type checksum --payload '{"path": "README.md"}'`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tandem.handlers import AttemptStopped, BlockingContext, DoNotRetry, Handlers

BLOCK = 1024 * 1024

handlers = Handlers()


@handlers.register("checksum")
def checksum(ctx: BlockingContext) -> dict[str, Any]:
    path = Path(str(ctx.payload.get("path", "")))
    if not path.is_file():
        raise DoNotRetry(f"{path} is not a file")
    size, digest = path.stat().st_size, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            # Whoever returned here would have succeeded, with half a result.
            if ctx.cancelled.is_set():
                raise AttemptStopped
            digest.update(block)
            ctx.progress(min(file.tell() / size, 1))
    return {"sha256": digest.hexdigest()}
