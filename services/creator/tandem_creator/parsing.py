"""From the words of a CreateTaskRequest to a draft, with every fault named."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

from tandem.v1 import creator_pb2, task_pb2
from tandem.validation import Violations
from tandem_creator.drafts import Draft
from tandem_creator.specs import parse_spec
from tandem_creator.windows import parse_window

POLICIES: Final = frozenset(creator_pb2.CreateTaskRequest.ExternalIdPolicy.values())
VIEWS: Final = frozenset(task_pb2.TaskView.values())

NO_SPEC: Final[Mapping[str, Any]] = MappingProxyType({"project": "", "type": ""})


def parse_create(
    request: creator_pb2.CreateTaskRequest,
    *,
    require_request_id: bool = False,
    created_by: str = "",
    trace_context: str = "",
) -> Draft:
    """The request as a draft.

    Raises:
        InvalidRequest: names every field at fault.
    """
    found = Violations()
    request_id = found.uuid(
        "request_id", request.request_id, required=require_request_id
    )
    draft = parse_draft(
        request,
        found,
        request_id=request_id or uuid4(),
        has_own_request_id=request_id is not None,
        created_by=created_by,
        trace_context=trace_context,
    )
    parse_view(request.view, found)
    found.refuse()
    return draft


def parse_draft(
    request: creator_pb2.CreateTaskRequest,
    found: Violations,
    *,
    request_id: UUID,
    has_own_request_id: bool,
    created_by: str,
    trace_context: str,
) -> Draft:
    """The request as a draft, which is void where anything was found.

    Args:
        request: one create.
        found: takes every fault.
        request_id: the caller's, checked already, or one that was made.
        has_own_request_id: whether a repeat brings the same one.
        created_by: who calls, as authentication named them.
        trace_context: of the call.
    """
    fields = parse_spec(request.spec, found) if _has_spec(request, found) else NO_SPEC
    found.known_enum("external_id_policy", request.external_id_policy, POLICIES)
    window = parse_window(request, fields.get("payload"), found)
    return Draft(
        **fields,
        request_id=request_id,
        has_own_request_id=has_own_request_id,
        policy=request.external_id_policy,
        window=window,
        created_by=created_by or None,
        trace_context=trace_context or None,
    )


def parse_view(view: task_pb2.TaskView.ValueType, found: Violations) -> bool:
    """Whether everything is to be answered: FULL, and the default of this service."""
    found.known_enum("view", view, VIEWS)
    return is_full(view)


def is_full(view: task_pb2.TaskView.ValueType) -> bool:
    return view != task_pb2.TASK_VIEW_BASIC


def _has_spec(request: creator_pb2.CreateTaskRequest, found: Violations) -> bool:
    if not request.HasField("spec"):
        found.add("spec", "is required")
        return False
    return True
