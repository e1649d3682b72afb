"""Refuses JSON that is nested too deeply or not UTF-8 before it is parsed, and rewords FastAPI's other refusals."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

MAX_DEPTH: Final = 32

# pydantic's error types for a body that is missing or no object.
_NO_OBJECT: Final = {"missing", "model_type", "model_attributes_type", "dict_type"}
_FORMS: Final = {"application/x-www-form-urlencoded", "multipart/form-data"}

# Possessive, with an optional closing quote: linear time for any input (no ReDoS).
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class ShallowJsonRoute(APIRoute):
    """For routes that read JSON: `APIRouter(route_class=ShallowJsonRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def shallow(request: Request) -> Response:
            media_type = media_type_of(request)
            if _is_json(media_type):
                refuse_deep(await request.body())
            try:
                return await handle(request)
            except RequestValidationError as error:
                if any(entry["loc"] == ("body",) and entry["type"] in _NO_OBJECT for entry in error.errors()):
                    raise _not_as_wanted(wanted(self.model()), media_type) from None
                raise
            except HTTPException as error:
                # FastAPI's 400 for a body that it cannot parse, such as bytes that are not UTF-8.
                if error.status_code == HTTPStatus.BAD_REQUEST:
                    raise _refusal("The body can not be read") from None
                raise

        return shallow

    def model(self) -> type[BaseModel] | None:
        model = self.body_field.field_info.annotation if self.body_field else None
        return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def refuse_deep(body: bytes) -> None:
    """Raises RequestValidationError (422). Does not check that `body` is valid JSON."""
    # RFC 8259 section 8.1. Python also reads UTF-16, whose brackets and quotes would be miscounted below.
    if b"\0" in body:
        raise _refusal("The body is not JSON in UTF-8")
    depth = 0
    for bracket in _STRINGS.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise _refusal(f"The body is nested more than {MAX_DEPTH} deep")


def wanted(model: type[BaseModel] | None) -> str:
    """`a JSON object with email and password`: the required fields, or all if none is required."""
    if model is None:
        return "a JSON object"
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    if required:
        return f"a JSON object with {_listed(required, 'and')}"
    return f"a JSON object with any of {_listed(list(model.model_fields), 'or')}"


def media_type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _not_as_wanted(wanted: str, media_type: str) -> RequestValidationError:
    if _is_json(media_type):
        return _refusal(f"Send {wanted}")
    came = "as a form" if media_type in _FORMS else "as another type" if media_type else "without one"
    return _refusal(f"Send {wanted}, and the header `Content-Type: application/json`: this came {came}")


def _listed(names: list[str], word: str) -> str:
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _is_json(media_type: str) -> bool:
    return media_type.endswith(("/json", "+json"))


def _refusal(message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body",), "msg": message, "type": "value_error"}])
