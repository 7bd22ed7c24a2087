"""The two clients offer the same, but for `await`."""

from __future__ import annotations

import inspect

import pytest

from tandem.client import AsyncClient, Client


def offered(client: type) -> dict[str, list[inspect.Parameter]]:
    return {
        name: list(inspect.signature(method).parameters.values())
        for name, method in vars(client).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }


def test_both_clients_have_the_same_methods() -> None:
    assert offered(Client).keys() == offered(AsyncClient).keys()


@pytest.mark.parametrize("name", offered(Client))
def test_a_method_takes_the_same_in_both(name: str) -> None:
    assert offered(Client)[name] == offered(AsyncClient)[name]
