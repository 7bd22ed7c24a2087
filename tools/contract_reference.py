"""The contract as a page: services, messages, enums and reasons, in Markdown.

All of it comes from the protos and from `tandem.errors`, each time the site is built.
"""

from __future__ import annotations

import html
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from tandem.errors import BY_REASON

# Numbers of the fields in descriptor.proto that a path to a comment is made of.
MESSAGES_OF_FILE: Final = 4
ENUMS_OF_FILE: Final = 5
SERVICES_OF_FILE: Final = 6
FIELDS_OF_MESSAGE: Final = 2
MESSAGES_OF_MESSAGE: Final = 3
ENUMS_OF_MESSAGE: Final = 4
MEMBERS: Final = 2

Place = tuple[int, ...]


def reference() -> str:
    """The page; raises CalledProcessError where buf cannot build the protos."""
    files = [_Rendered(file) for file in _descriptors()]
    lines = ["# The contract", "", "Generated from `protos/tandem/v1`.", ""]
    for file in files:
        lines += file.services()
    lines += list(_reasons())
    for file in files:
        lines += file.types()
    return "\n".join(lines)


def _descriptors() -> list[FileDescriptorProto]:
    buf = Path(sys.executable).parent / "buf"
    built = subprocess.run(
        [buf, "build", "--output", "-#format=binpb"],
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
    )
    files = FileDescriptorSet.FromString(built.stdout).file
    return [file for file in files if file.name.startswith("tandem/")]


class _Rendered:
    """One proto file, and the comments of its elements by their place in it."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments = {
            tuple(location.path): location.leading_comments
            for location in file.source_code_info.location
        }

    def services(self) -> Iterator[str]:
        for index, service in enumerate(self._file.service):
            yield from self._service(service, (SERVICES_OF_FILE, index))

    def types(self) -> Iterator[str]:
        for index, message in enumerate(self._file.message_type):
            yield from self._message(message, (MESSAGES_OF_FILE, index), "")
        for index, enum in enumerate(self._file.enum_type):
            yield from self._enum(enum, (ENUMS_OF_FILE, index), "")

    def _service(self, service: ServiceDescriptorProto, place: Place) -> Iterator[str]:
        yield from (_heading(2, service.name), self._text(place))
        for index, method in enumerate(service.method):
            name = f"{service.name}.{method.name}"
            asked = _streamed(method.input_type, streams=method.client_streaming)
            told = _streamed(method.output_type, streams=method.server_streaming)
            yield _heading(3, name, shown=method.name)
            yield f"{asked} → {told}\n"
            yield self._text((*place, MEMBERS, index))

    def _message(
        self, message: DescriptorProto, place: Place, outer: str
    ) -> Iterator[str]:
        if message.options.map_entry:
            return
        name = outer + message.name
        yield from (_heading(2, name), self._text(place))
        rows = [
            (
                field.name,
                _type_of(field),
                self._cell((*place, FIELDS_OF_MESSAGE, index)),
            )
            for index, field in enumerate(message.field)
        ]
        yield from _table(("field", "type", "meaning"), rows)
        for index, nested in enumerate(message.nested_type):
            inner = (*place, MESSAGES_OF_MESSAGE, index)
            yield from self._message(nested, inner, f"{name}.")
        for index, enum in enumerate(message.enum_type):
            yield from self._enum(enum, (*place, ENUMS_OF_MESSAGE, index), f"{name}.")

    def _enum(
        self, enum: EnumDescriptorProto, place: Place, outer: str
    ) -> Iterator[str]:
        yield from (_heading(2, outer + enum.name), self._text(place))
        rows = [
            (value.name, str(value.number), self._cell((*place, MEMBERS, index)))
            for index, value in enumerate(enum.value)
        ]
        yield from _table(("value", "number", "meaning"), rows)

    def _text(self, place: Place) -> str:
        lines = self._comments.get(place, "").splitlines()
        return _escaped("\n".join(line.removeprefix(" ") for line in lines)) + "\n"

    def _cell(self, place: Place) -> str:
        return " ".join(self._text(place).replace("|", "\\|").split())


def _reasons() -> Iterator[str]:
    yield _heading(2, "Reasons of errors")
    yield "Branch on the reason in `ErrorInfo` (domain `tandem`), never on the words.\n"
    rows = [
        (reason, f"`{kind.code.name}`", " ".join(str(kind.__doc__).split()))
        for reason, kind in sorted(BY_REASON.items())
    ]
    yield from _table(("reason", "code", "what it means"), rows)


def _heading(level: int, name: str, *, shown: str = "") -> str:
    return f"\n{'#' * level} {shown or name} {{ #{name.replace(' ', '-')} }}\n"


def _table(head: Sequence[str], rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    if not rows:
        return
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for name, second, meaning in rows:
        yield f"| `{name}` | {second} | {meaning} |"
    yield ""


def _streamed(name: str, *, streams: bool) -> str:
    return f"stream of {_link(name)}" if streams else _link(name)


def _type_of(field: FieldDescriptorProto) -> str:
    name = (
        _link(field.type_name)
        if field.type_name
        else FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    )
    if field.type_name.endswith("Entry"):
        return "map"
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    return f"repeated {name}" if repeated else name


def _link(type_name: str) -> str:
    name = type_name.removeprefix(".")
    if not name.startswith("tandem.v1."):
        return f"`{name}`"
    short = name.removeprefix("tandem.v1.")
    return f"[{short}](#{short})"


def _escaped(text: str) -> str:
    return html.escape(text, quote=False).replace("*", "\\*")
