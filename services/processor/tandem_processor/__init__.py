"""The processor service: reads tasks and moves their status, nothing else."""

from __future__ import annotations

import os

# Read by grpc as it is imported. Whatever its library would write, a taken port
# for one, the service tells in a line of its own.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
