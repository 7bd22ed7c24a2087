from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tandem.handlers import BlockingContext, Context, Handlers, RetryPolicy
from tandem.loading import BadHandlers, load_handlers


def test_a_registry_tells_async_handlers_from_plain_ones() -> None:
    handlers = Handlers()

    @handlers.register("a")
    async def run_async(ctx: Context) -> None: ...

    @handlers.register("b", timeout=timedelta(seconds=3))
    def run_plain(ctx: BlockingContext) -> None: ...

    assert handlers.types == ["a", "b"]
    assert (handlers["a"].is_async, handlers["b"].is_async) == (True, False)
    assert handlers["b"].timeout == timedelta(seconds=3)
    assert handlers["b"].function is run_plain


def test_a_type_has_one_handler() -> None:
    handlers = Handlers()
    handlers.register("a")(print)

    with pytest.raises(ValueError, match="has a handler already"):
        handlers.register("a")


@pytest.mark.parametrize("name", ["", "-a", "a b", "a" * 64])
def test_a_handler_is_registered_for_a_task_type(name: str) -> None:
    with pytest.raises(ValueError, match="no task type"):
        Handlers().register(name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": 101},
        {"initial_backoff": timedelta(seconds=-1)},
        {"max_backoff": timedelta(days=8)},
    ],
)
def test_a_policy_keeps_the_limits_of_the_contract(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be from"):
        RetryPolicy(**wrong)


@pytest.mark.parametrize("seconds", [0, -1, 8 * 86400])
def test_a_timeout_keeps_the_limits_of_the_contract(seconds: int) -> None:
    with pytest.raises(ValueError, match="timeout"):
        Handlers().register("a", timeout=timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "is not of the form module:name"),
        ("no_such_module_here:handlers", "cannot import no_such_module_here"),
        ("tandem.limits:handlers", "has no Handlers named handlers"),
        ("tandem.limits:NAME", "has no Handlers named NAME"),
    ],
)
def test_handlers_that_cannot_be_run_are_refused_on_one_line(
    name: str, said: str
) -> None:
    with pytest.raises(BadHandlers) as refused:
        load_handlers(name)

    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
