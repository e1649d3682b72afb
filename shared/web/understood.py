"""Refuses unknown query parameters, and invalid paths and clients: `DELETE /users/?id=…` would delete the caller."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, get_origin
from urllib.parse import parse_qsl

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path
from starlette.types import Scope

from shared.client_address import Clients, NotAnAddress
from shared.web.problems import Problem

_MOST_PARAMETERS = 100


class PathNotValid(Problem):
    status = 400
    code = "bad_request"
    detail = "The path holds control characters"


class ClientNotValid(Problem):
    status = 400
    code = "bad_request"
    detail = "The proxy names the client by something that is no address"


class Understood:
    def __init__(self, app: FastAPI, trusted_proxies: str) -> None:
        self._app = app
        self._clients = Clients(trusted_proxies)

    def check(self, scope: Scope) -> None:
        """Set client and final slash in `scope`. Raises `PathNotValid`, `ClientNotValid`, `RequestValidationError`."""
        try:
            scope["client"] = self._clients.of(scope)
        except NotAnAddress:
            raise ClientNotValid from None
        # `$` in a route's pattern also matches before a line break.
        if not scope["path"].isprintable():
            raise PathNotValid
        if scope["path"] in self._lacking_slash:
            scope["path"] += "/"
        elif scope["path"][-1:] == "/":
            self._remove_slash(scope)
        if scope["query_string"]:
            self._check_query(scope)

    def _remove_slash(self, scope: Scope) -> None:
        path = scope["path"]
        # Two slashes stay: `/users/{id}/` with an empty id must not become the own account.
        if not path.endswith("//") and path[:-1] not in self._lacking_slash:
            scope["path"] = path[:-1] or "/"

    @cached_property
    def _lacking_slash(self) -> frozenset[str]:
        """Paths of the routes that end in a slash, without that slash."""
        paths = (str(context.path) for context in iter_route_contexts(self._app.routes))
        return frozenset(path[:-1] for path in paths if path.endswith("/"))

    def _check_query(self, scope: Scope) -> None:
        declared = self._declared(scope["method"], scope["path"])
        if declared is not None and (faults := list(_faults(scope["query_string"], declared))):
            raise RequestValidationError(faults)

    def _declared(self, method: str, path: str) -> Mapping[str, bool] | None:
        """None if no route matches; the route with the fewest path parameters wins."""
        fitting = [route for route in self._routes if method in route[0] and route[1].match(path)]
        return min(fitting, key=lambda route: route[1].groups)[2] if fitting else None

    @cached_property
    def _routes(self) -> list[tuple[set[str], re.Pattern[str], Mapping[str, bool]]]:
        contexts = [context for context in iter_route_contexts(self._app.routes) if context.path]
        return [
            (context.methods or set(), compile_path(str(context.path))[0], dict(_parameters(context.dependant)))
            for context in contexts
        ]


def _parameters(dependant: Any) -> Iterator[tuple[str, bool]]:
    """Each name, and whether it may be repeated."""
    for parameter in dependant.query_params:
        yield parameter.alias, get_origin(parameter.field_info.annotation) is list
    for inner in dependant.dependencies:
        yield from _parameters(inner)


def _faults(query: bytes, declared: Mapping[str, bool]) -> Iterator[dict[str, Any]]:
    try:
        given = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        yield _fault("query", "Too many parameters")
        return
    names = [name for name, _ in given]
    for name in dict.fromkeys(names):
        if name not in declared:
            yield _fault(name, "There is no such parameter")
        elif names.count(name) > 1 and not declared[name]:
            yield _fault(name, "This parameter is given more than once")


def _fault(name: str, message: str) -> dict[str, Any]:
    return {"loc": ("query", name) if name else ("query",), "msg": message, "type": "value_error"}
