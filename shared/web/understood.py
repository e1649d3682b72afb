"""Refuses unknown query parameters, and invalid paths and clients: `DELETE /users/?id=…` would delete the caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, get_origin
from urllib.parse import parse_qsl

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.types import Scope

from shared.client_address import Clients, NotAnAddress
from shared.web.problems import Problem, routes_at

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
        path = scope["path"]
        if path in self._lacking_slash:
            scope["path"] = f"{path}/"
        # Two slashes stay: `/users/{id}/` with an empty id must not become the own account.
        elif path.endswith("/") and not path.endswith("//") and path[:-1] not in self._lacking_slash:
            scope["path"] = path[:-1] or "/"
        if scope["query_string"]:
            self._check_query(scope)

    @cached_property
    def _lacking_slash(self) -> frozenset[str]:
        """Paths of the routes that end in a slash, without that slash."""
        paths = (str(context.path) for context in iter_route_contexts(self._app.routes))
        return frozenset(path[:-1] for path in paths if path.endswith("/"))

    def _check_query(self, scope: Scope) -> None:
        routes = [each for each in routes_at(self._app, scope["path"]) if scope["method"] in (each.methods or ())]
        if routes:
            route = min(routes, key=lambda each: str(each.path).count("{"))  # a literal path wins
            if faults := list(_faults(scope["query_string"], dict(_parameters(route.dependant)))):
                raise RequestValidationError(faults)


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
        yield _fault(("query",), "Too many parameters")
        return
    for name, count in Counter(name for name, _ in given).items():
        if name not in declared:
            yield _fault(("query", name) if name else ("query",), "There is no such parameter")
        elif count > 1 and not declared[name]:
            yield _fault(("query", name), "This parameter is given more than once")


def _fault(location: tuple[str, ...], message: str) -> dict[str, Any]:
    return {"loc": location, "msg": message, "type": "value_error"}
