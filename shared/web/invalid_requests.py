"""Error sentences for the fields of a request. They never repeat a value that was sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

# By pydantic's error type, with our limits but no client values. Other types keep pydantic's message.
_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "missing": lambda _: "This field is missing",
    "json_invalid": lambda _: "The body is not valid JSON: it breaks off, or something in it is out of place",
    "model_type": lambda _: "A JSON object is wanted",
    "model_attributes_type": lambda _: "A JSON object is wanted",
    "dict_type": lambda _: "A JSON object is wanted",
    "string_type": lambda _: "A string is wanted, in quotes",
    "string_too_short": lambda limits: f"At least {_characters(limits['min_length'])} wanted",
    "string_too_long": lambda limits: f"At most {_characters(limits['max_length'])} allowed",
    # pydantic's types for the length of a string that another validator has checked first.
    "too_short": lambda limits: f"At least {_characters(limits['min_length'])} wanted",
    "too_long": lambda limits: f"At most {_characters(limits['max_length'])} allowed",
    "bool_type": lambda _: "`true` or `false` is wanted, without quotes",
    "bool_parsing": lambda _: "`true` or `false` is wanted",
    "int_type": lambda _: "A whole number is wanted, without quotes",
    "int_parsing": lambda _: "A whole number is wanted",
    "uuid_type": lambda _: "A UUID is wanted, in quotes",
    "uuid_parsing": lambda _: "A UUID is wanted, such as 01890a5d-ac96-774b-bcce-b302099a8057",
    "literal_error": lambda limits: f"Only {limits['expected']} is allowed",
    "greater_than_equal": lambda limits: f"At least {limits['ge']} is wanted",
    "less_than_equal": lambda limits: f"At most {limits['le']} is allowed",
}


def described(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The member `errors` of a problem document: each invalid field with its sentence."""
    return [{"field": _field(error["loc"]), "detail": _sentence(error)} for error in errors]


def _sentence(error: Mapping[str, Any]) -> str:
    words = _WORDS.get(error["type"])
    if words is None:
        return str(error["msg"]).removeprefix("Value error, ")
    return words(error.get("ctx", {}))


def _characters(number: int) -> str:
    return f"{number} character is" if number == 1 else f"{number} characters are"


def _field(location: tuple[Any, ...]) -> str:
    """`body.email` becomes `email`."""
    if [type(part) for part in location[1:]] == [int]:  # offset of a JSON syntax error, not a field
        location = location[:1]
    parts = [str(part) for part in location[1:]] or [str(location[0])]
    return ".".join(parts)[:100]
