"""The committed stubs of the contract: generates them, or checks that they are fresh."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

STUBS: Final = Path("shared/tandem/v1")


def generate(into: Path) -> None:
    """Write the stubs of `protos/` under `into`, offline, with pinned generators."""
    # buf finds its plugins on PATH, and they stand beside this Python.
    here = Path(sys.executable).parent
    path = f"{here}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        [here / "buf", "generate", "--output", into],
        env={**os.environ, "PATH": path},
        check=True,
    )
    for types in (into / STUBS).glob("*_pb2_grpc.pyi"):
        # A file without a service has no gRPC module; mypy-protobuf types it anyway.
        if not types.with_suffix(".py").exists():
            types.unlink()


def read_stubs(root: Path) -> dict[str, bytes]:
    folder = root / STUBS
    files = (file for file in folder.rglob("*_pb2*") if file.suffix in {".py", ".pyi"})
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


def replace_stubs() -> None:
    """Generate into the work tree; stubs of protos that are gone go too."""
    for name in read_stubs(Path()):
        Path(name).unlink()
    generate(Path())


def find_stale() -> list[str]:
    """Names of committed stubs that generating would change, add or remove."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh, committed = read_stubs(Path(folder)), read_stubs(Path())
    return sorted(
        name
        for name in fresh.keys() | committed.keys()
        if fresh.get(name) != committed.get(name)
    )


def main() -> None:
    """`--check` exits with 1 if a stub is stale; without it the stubs are rewritten."""
    if "--check" not in sys.argv[1:]:
        replace_stubs()
    elif stale := find_stale():
        sys.exit(f"stale stubs, run `make protos`: {', '.join(stale)}")


if __name__ == "__main__":
    main()
