"""Requests that mean well, mostly: random values, hostile ones among them, broken bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any, Final
from uuid import UUID

from google.protobuf import struct_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

HOSTILE_TEXTS: Final = (
    "\0",
    "a\0b",
    "x" * 63,
    "x" * 64,
    "x" * 255,
    "x" * 256,
    "ü" * 255,
    "😀" * 256,
    "-begins-badly",
    "two words",
    "'; DROP TABLE tandem.tasks; --",
    "\u202e\ufeff\u0000",
    "%s{}$1",
    "00000000-0000-0000-0000-000000000000",
    "{12345678-1234-4234-8234-123456789abc}",
    "urn:uuid:12345678-1234-4234-8234-123456789abc",
    "12345678123442348234123456789abc",
    "12345678-1234-4234-8234-123456789ABC",
    "\ud7ff\ue000\uffff",
)
HOSTILE_NUMBERS: Final = (
    -0.0,
    math.nan,
    math.inf,
    -math.inf,
    2.0**53 - 1,
    2.0**53,
    1e308,
    5e-324,
    -(2.0**63),
)
HOSTILE_INTEGERS: Final = (-1, 0, 1, 101, 10_001, 2**31 - 1, -(2**31))
HOSTILE_LONGS: Final = (
    *HOSTILE_INTEGERS,
    2**63 - 1,
    -(2**63),
    253_402_300_800,
    -62_135_596_801,
    315_576_000_001,
)

FEW: Final = [str(UUID(int=(7 << 76) | (2 << 62) | n)) for n in range(1, 400)]

Pool = Callable[[Random], Any]

GOOD: Final[dict[str, Pool]] = {
    "request_id": lambda random: random.choice(FEW),
    "processor_id": lambda random: random.choice(FEW),
    "task_ids": lambda random: random.choice(FEW),
    "project": lambda random: random.choice(["shop", "mill"]),
    "projects": lambda random: random.choice(["shop", "mill"]),
    "external_id": lambda random: f"order:{random.randrange(200)}",
    "max_attempts": lambda random: random.randint(1, 100),
    "credits": lambda random: random.randint(1, 100),
    "nanos": lambda random: random.choice([0, 1000, 500_000_000]),
    "start_delay.seconds": lambda random: random.randrange(86_400),
    "seconds": lambda random: random.randint(1, 80_000),
    "resume_token": lambda _: "",
    "payload_keys": lambda random: random.choice(["a", "b"]),
}

ENDS: Final = "until_caught_up"

LEFT_OUT: Final = {
    ENDS: 0.0,
    "content_window": 0.9,
    "validate_only": 0.8,
    "not_before_time": 0.8,
    "start_delay": 0.8,
    "view": 0.6,
    "requests[].view": 1.0,
    "requests[].validate_only": 1.0,
    "type": 0.0,
    "project": 0.0,
    "spec": 0.01,
    "requests": 0.01,
    "window": 0.02,
    "payload_keys": 0.7,
    "group": 0.0,
    "queues": 0.1,
    "processor_id": 0.0,
    "credits": 0.0,
    "join": 0.0,
}
"""Chances of fields that a caller must set, or that exclude others."""


class Noise:
    """Fills messages of any kind. The same seed makes the same ones."""

    def __init__(self, seed: int, *, hostility: float) -> None:
        self.random = Random(seed)
        self._hostility = hostility

    def fill(self, message: Message, *, within: str = "") -> None:
        """Set some of the fields, and some of them badly."""
        chosen: dict[str, Any] = {}
        for field in message.DESCRIPTOR.fields:
            chance = LEFT_OUT.get(within + field.name, LEFT_OUT.get(field.name, 0.5))
            if self.random.random() >= chance:
                group = field.containing_oneof
                chosen[group.name if group else field.name] = field
        for field in chosen.values():
            self._set(message, field)

    def mutate(self, data: bytes) -> bytes:
        """The bytes after an accident of theirs."""
        accident = self.random.randrange(4)
        at = self.random.randrange(len(data) + 1)
        if accident == 0:
            return data[:at]
        if accident == 1:
            return data[:at] + self.random.randbytes(3) + data[at:]
        if accident == 2:
            return data + data[at:]
        return bytes(
            byte ^ (1 << self.random.randrange(8)) if index == at else byte
            for index, byte in enumerate(data)
        )

    def _set(self, message: Message, field: FieldDescriptor) -> None:
        if field.name == "labels":
            self._labels(getattr(message, field.name))
        elif field.name == "payload":
            self._struct(message.payload, levels=3)  # type: ignore[attr-defined]
        elif field.message_type and field.is_repeated:
            for _ in range(self._count()):
                self.fill(getattr(message, field.name).add(), within=f"{field.name}[].")
        elif field.message_type:
            getattr(message, field.name).SetInParent()
            self.fill(getattr(message, field.name))
        elif field.is_repeated:
            values = [self._scalar(field) for _ in range(self._count())]
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, self._scalar(field))

    def _count(self) -> int:
        if self._is_hostile(0.1):
            return self.random.choice([0, 40])
        return self.random.randint(1, 4)

    def _is_hostile(self, share: float = 1.0) -> bool:
        return self.random.random() < self._hostility * share

    def _scalar(self, field: FieldDescriptor) -> Any:
        if field.type == FieldDescriptor.TYPE_BOOL:
            # A stream that never ends tells no more than one that does.
            return self.random.random() < (0.95 if field.name == ENDS else 0.5)
        if self._is_hostile():
            return self._hostile(field)
        if field.enum_type:
            return self.random.choice(field.enum_type.values).number
        value = GOOD.get(field.name, _a_name)(self.random)
        return value if field.type == FieldDescriptor.TYPE_STRING else int(value)

    def _hostile(self, field: FieldDescriptor) -> Any:
        if field.type == FieldDescriptor.TYPE_STRING:
            return self.random.choice(HOSTILE_TEXTS)
        if field.type == FieldDescriptor.TYPE_INT64:
            return self.random.choice(HOSTILE_LONGS)
        return self.random.choice(HOSTILE_INTEGERS)

    def _labels(self, labels: Any) -> None:
        for _ in range(self._count()):
            key, value = f"k{self.random.randrange(9)}", "v"
            if self._is_hostile():
                key = self.random.choice(HOSTILE_TEXTS)
            if self._is_hostile():
                value = self.random.choice(HOSTILE_TEXTS)
            labels[key] = value

    def _struct(self, struct: struct_pb2.Struct, *, levels: int) -> None:
        struct.SetInParent()
        for name in self.random.sample("abcd", self.random.randint(0, 3)):
            key = self.random.choice(HOSTILE_TEXTS) if self._is_hostile(0.2) else name
            self._value(struct.fields[key], levels=levels)

    def _value(self, value: struct_pb2.Value, *, levels: int) -> None:
        kind = self.random.randrange(4 if levels == 0 else 6)
        if self._is_hostile(0.3):
            self._hostile_value(value)
        elif kind == 0:
            value.null_value = struct_pb2.NULL_VALUE
        elif kind == 1:
            value.bool_value = True
        elif kind == 2:
            value.number_value = self.random.choice([0.0, 1.0, 1.5, -7.0])
        elif kind == 3:
            value.string_value = self.random.choice(["", "a", 'ü\n\t"\\'])
        elif kind == 4:
            self._struct(value.struct_value, levels=levels - 1)
        else:
            value.list_value.SetInParent()
            for _ in range(self.random.randrange(3)):
                self._value(value.list_value.values.add(), levels=levels - 1)

    def _hostile_value(self, value: struct_pb2.Value) -> None:
        kind = self.random.randrange(4)
        if kind == 0:
            value.number_value = self.random.choice(HOSTILE_NUMBERS)
        elif kind == 1:
            value.string_value = self.random.choice(HOSTILE_TEXTS)
        elif kind == 2:
            value.CopyFrom(_nested(self.random.choice([28, 40])))


def _a_name(random: Random) -> str:
    return f"n{random.randrange(5)}"


def _nested(levels: int) -> struct_pb2.Value:
    value = struct_pb2.Value(bool_value=True)
    for _ in range(levels):
        value = struct_pb2.Value(list_value=struct_pb2.ListValue(values=[value]))
    return value
