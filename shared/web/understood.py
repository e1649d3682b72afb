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

from shared.client_address import LONGEST, canonical, is_port, proxy_test
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


class Clients:
    """The client is the peer, or what a peer in TRUSTED_PROXIES (`*`: any) names in `X-Forwarded-For`."""

    def __init__(self, trusted_proxies: str) -> None:
        self._believes_all = trusted_proxies.strip() == "*"
        self._is_proxy = proxy_test(trusted_proxies)

    def of(self, scope: Scope) -> tuple[str, int] | None:
        """ASGI's `client`, canonical; None if unknown. It may be in the proxies' network. Raises `ClientNotValid`."""
        if scope.get("client") is None:
            return None
        host, port = scope["client"]
        host = canonical(host) or host
        if not (self._believes_all or self._is_proxy(host)):
            return host, port
        named = self._named(scope)
        if named is not None:
            return named, 0
        return (host, port) if self._believes_all else None

    def _named(self, scope: Scope) -> str | None:
        values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        named = [each for value in values for each in value.decode("latin-1").split(",") if each.strip()]
        # Proxies append: the client is the last address that is no trusted proxy. Addresses before it can be forged.
        last = None
        for each in reversed(named):
            last = _address(each.strip())
            if not self._is_proxy(last):
                break
        return last


class Understood:
    def __init__(self, app: FastAPI, trusted_proxies: str, *, strict_query: bool) -> None:
        self._app = app
        self._strict_query = strict_query
        self._clients = Clients(trusted_proxies)

    def check(self, scope: Scope) -> None:
        """Set client and final slash in `scope`. Raises `PathNotValid`, `ClientNotValid`, `RequestValidationError`."""
        scope["client"] = self._clients.of(scope)
        # `$` in a route's pattern also matches before a line break.
        if not scope["path"].isprintable():
            raise PathNotValid
        path = scope["path"]
        if path in self._lacking_slash:
            scope["path"] = f"{path}/"
        # Two slashes stay: `/users/{id}/` with an empty id must not become the own account.
        elif path.endswith("/") and not path.endswith("//") and path[:-1] not in self._lacking_slash:
            scope["path"] = path[:-1] or "/"
        if self._strict_query and scope["query_string"]:
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


def _address(text: str) -> str:
    """Removes the port that some proxies add: `1.2.3.4:5678`, `[2001:db8::1]:5678`."""
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        port = "0" if closed and not port else port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, "0"
    known = canonical(host) if len(host) <= LONGEST and is_port(port) else None
    if known is None:
        raise ClientNotValid
    return known
