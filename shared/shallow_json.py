"""JSON that is nested too deeply, or that is not UTF-8, is refused before anything parses it."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

MAX_DEPTH: Final = 32

# Possessive, and content without its closing quote: each byte is looked at once, whatever is sent.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class ShallowJsonRoute(APIRoute):
    """For routers whose routes read JSON: `APIRouter(route_class=ShallowJsonRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def shallow(request: Request) -> Response:
            if _is_json(request.headers.get("content-type", "")):
                refuse_deep(await request.body())
            try:
                return await handle(request)
            except HTTPException as error:
                # What the framework can't read for a reason that it does not foresee, such as bytes that are no UTF-8.
                if error.status_code == HTTPStatus.BAD_REQUEST:
                    raise _refusal("The body can not be read") from None
                raise

        return shallow


def refuse_deep(body: bytes) -> None:
    """Raises RequestValidationError, which is answered 422. Whether `body` is JSON at all is not asked."""
    # RFC 8259 section 8.1. Python would read UTF-16 too, whose brackets and quotes are counted wrongly below.
    if b"\0" in body:
        raise _refusal("The body is not JSON in UTF-8")
    depth = 0
    for bracket in _STRINGS.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise _refusal(f"The body is nested more than {MAX_DEPTH} deep")


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower().endswith(("/json", "+json"))


def _refusal(message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body",), "msg": message, "type": "value_error"}])
