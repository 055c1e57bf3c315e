"""What is not understood of a client is left out; the rest stays as it was said."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types
from lsprotocol.converters import get_converter
from pytest_lsp import client_capabilities

from famulus.lsp_server.leniency import leave_out

CONVERTER = get_converter()
CLIENT = CONVERTER.unstructure(client_capabilities("visual-studio-code"))


def complaint(message: dict[str, Any]) -> Exception | None:
    try:
        CONVERTER.structure(message, types.InitializeRequest)
    except Exception as error:
        return error
    return None


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places below a value, itself included."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(place for step, inner in inside for place in places(inner, (*above, step)))]


def request() -> dict[str, Any]:
    params = {"processId": None, "rootUri": None, "trace": "off", "capabilities": copy.deepcopy(CLIENT)}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}


OTHER = st.sampled_from([None, 7, 99, "x", [], {}, [{}], {"x": 1}, True])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([place for place in places(request()["params"]) if place not in ((), ("capabilities",))]), OTHER)
def test_whatever_a_client_says_at_one_place_the_rest_is_understood(place: tuple[Any, ...], other: Any) -> None:
    message, whole = request(), request()
    holder: Any = message["params"]
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = copy.deepcopy(other)
    for _ in range(4):
        if (error := complaint(message)) is None:
            break
        assert leave_out(message, error)
    assert complaint(message) is None
    for kept in (step for step in whole["params"]["capabilities"] if ("capabilities", step) != place[:2]):
        assert message["params"]["capabilities"][kept] == whole["params"]["capabilities"][kept]


def test_several_places_of_one_list_are_left_out() -> None:
    message = request()
    tags = {"valueSet": [9, 1, 8, 2, 7]}
    message["params"]["capabilities"]["textDocument"]["publishDiagnostics"]["tagSupport"] = tags
    error = complaint(message)
    assert error is not None
    assert len(leave_out(message, error)) == 3
    assert tags == {"valueSet": [1, 2]}


@pytest.mark.parametrize("params", [7, [{}], "x"])
def test_where_nothing_would_be_left_nothing_is_left_out(params: Any) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    error = complaint(message)
    assert error is not None
    assert leave_out(message, error) == []
    assert message["params"] == params
    assert leave_out(message, ValueError("something else")) == []
