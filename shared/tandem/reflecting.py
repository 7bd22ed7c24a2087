"""Reflection that finds methods by name, which some tools ask for."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor


class MethodsFound:
    """The default pool, in which a method's full name leads to its file as well.

    The pool itself knows messages, enums and services; other gRPC servers' reflection
    also answers for `package.Service.Method`.
    """

    def __init__(self) -> None:
        self._pool: Any = descriptor_pool.Default()

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """The file in which the symbol stands.

        Raises:
            KeyError: there is no such symbol.
        """
        service, _, method = symbol.rpartition(".")
        try:
            found: FileDescriptor = self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            described = self._pool.FindServiceByName(service)
            found = described.methods_by_name[method].containing_service.file
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)
