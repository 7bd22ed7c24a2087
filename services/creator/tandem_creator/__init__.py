"""The creator service: the only thing that brings a task into existence."""

from __future__ import annotations

import os

# Read by grpc as it is imported. Whatever its library would write, a taken port
# for one, the service tells in a line of its own.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
