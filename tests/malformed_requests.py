"""Requests that clients get wrong, each with one thing wrong; docs/api-errors.md shows what each is answered."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

AUTH, USERS = "/api/v1/auth", "/api/v1/users"
TOKEN, VERIFY, REFRESH = f"{AUTH}/token", f"{AUTH}/verify-otp", f"{AUTH}/refresh-token"
REGISTRATION, PASSWORD, ME = f"{USERS}/registration", f"{USERS}/change-password", f"{USERS}/me"

JSON, FORM, TEXT = "application/json", "application/x-www-form-urlencoded", "text/plain"
ADA = {
    "email": "ada@example.org",
    "username": "ada",
    "name": "Ada",
    "lastname": "Lovelace",
    "password": "correct horse battery",
}
LOGIN = {"username": "ada", "password": "correct horse battery"}

Bearer = Literal["access", "temporary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """`bearer`: the kind of good token that comes with it."""

    sent: str
    line: str
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    bearer: Bearer | None = None

    @property
    def method(self) -> str:
        return self.line.partition(" ")[0]

    @property
    def url(self) -> str:
        return self.line.partition(" ")[2]


def _json(sent: str, line: str, body: Any, bearer: Bearer | None = None) -> Malformed:
    return _body(sent, line, json.dumps(body).encode(), JSON, bearer)


def _body(sent: str, line: str, body: bytes, media_type: str, bearer: Bearer | None = None) -> Malformed:
    headers = {"Content-Type": media_type} if media_type else {}
    return Malformed(sent=sent, line=line, content=body, headers=headers, bearer=bearer)


def _authorization(sent: str, text: str) -> Malformed:
    return Malformed(sent=sent, line=f"GET {ME}", headers={"Authorization": text} if text else {})


def _bare(sent: str, line: str, bearer: Bearer | None = None, **headers: str) -> Malformed:
    return Malformed(
        sent=sent, line=line, headers={name.replace("_", "-"): text for name, text in headers.items()}, bearer=bearer
    )


BODIES = [
    _body("a form, to a route that reads JSON", f"POST {REFRESH}", b"refresh_token=x", FORM),
    _body("JSON as a form, which is what `curl -d` sends", f"POST {VERIFY}", b'{"otp": "123456"}', FORM, "temporary"),
    _body("JSON as `text/plain`", f"POST {REGISTRATION}", json.dumps(ADA).encode(), TEXT),
    _body("JSON without a `Content-Type`", f"POST {REFRESH}", b'{"refresh_token": "x"}', ""),
    _bare("no body", f"POST {REFRESH}"),
    _body("an empty body, called JSON", f"POST {REFRESH}", b"", JSON),
    _json("a list", f"POST {REFRESH}", ["x"]),
    _json("a string", f"PATCH {USERS}/", "Ada", "access"),
    _body("JSON that breaks off", f"POST {REFRESH}", b'{"refresh_token": "x', JSON),
    _body("JSON with single quotes", f"POST {VERIFY}", b"{'otp': '123456'}", JSON, "temporary"),
    _body("JSON in UTF-16", f"POST {REFRESH}", '{"refresh_token": "x"}'.encode("utf-16"), JSON),
    _body("JSON 40 levels deep", f"POST {REFRESH}", b"[" * 40 + b"]" * 40, JSON),
    _body("a body of 100 kB", f"POST {REGISTRATION}", b" " * 100_000, JSON),
]
LOGINS = [
    _body("a login as `text/plain`", f"POST {TOKEN}", b"username=ada&password=x", TEXT),
    _bare("a login without a body", f"POST {TOKEN}"),
    _body("a login without a password", f"POST {TOKEN}", b"username=ada", FORM),
    _body("a field twice", f"POST {TOKEN}", b"username=ada&username=eve&password=x", FORM),
    _json("a login as a JSON list", f"POST {TOKEN}", ["ada", "x"]),
    _json("another `grant_type`", f"POST {TOKEN}", LOGIN | {"grant_type": "client_credentials"}),
]
FIELDS = [
    _json("a code of five digits", f"POST {VERIFY}", {"otp": "12345"}, "temporary"),
    _json("a code with a letter", f"POST {VERIFY}", {"otp": "12345O"}, "temporary"),
    _json("a code as a number", f"POST {VERIFY}", {"otp": 123456}, "temporary"),
    _json("a code by another name", f"POST {VERIFY}", {"code": "123456"}, "temporary"),
    _json("a registration without a name", f"POST {REGISTRATION}", {**ADA, "name": ""}),
    _json("a registration with half of its fields", f"POST {REGISTRATION}", LOGIN),
    _json("`is_2fa` in quotes", f"POST {REGISTRATION}", {**ADA, "is_2fa": "true"}),
    _json("an address that is none", f"POST {REGISTRATION}", {**ADA, "email": "ada.example.org"}),
    _json("a link in a name", f"POST {REGISTRATION}", {**ADA, "lastname": "www.example.org"}),
    _json("a line break in a username", f"POST {REGISTRATION}", {**ADA, "username": "a\nda"}),
    _json("a password of five characters", f"POST {REGISTRATION}", {**ADA, "password": "horse"}),
    _json("a password of 129 characters", f"POST {REGISTRATION}", {**ADA, "password": "x" * 129}),
    _json("`null` for a field", f"PATCH {USERS}/", {"name": None}, "access"),
    _json("nothing to change", f"PATCH {USERS}/", {}, "access"),
    _json("two passwords that differ", f"POST {PASSWORD}", {"password": "a" * 9, "confirm_password": "b"}, "access"),
]
PARAMETERS = [
    _bare("a parameter that there is not", f"DELETE {USERS}/?id=5", "access"),
    _bare("a parameter twice", f"GET {USERS}/?limit=1&limit=2", "access"),
    _bare("a `limit` that is no number", f"GET {USERS}/?limit=all", "access"),
    _bare("a `limit` that is too high", f"GET {USERS}/?limit=1000", "access"),
    _bare("an id that is no UUID", f"GET {USERS}/?user_id=5", "access"),
    _bare("a token in the query", f"GET {ME}?access_token=x"),
    _bare("a path that there is not", "GET /api/v1/user/me"),
    _bare("a path with a line break", f"GET {ME}%0a"),
    _bare("a method that the path does not take", f"GET {TOKEN}"),
    _bare("headers of 9 kB", f"GET {ME}", Authorization=f"Bearer {'x' * 9000}"),
    _bare("a version that is no longer true", f"DELETE {USERS}/", "access", If_Match='"1000"'),
]
TOKENS = [
    _authorization("no `Authorization`", ""),
    _authorization("`Bearer` and nothing after it", "Bearer "),
    _authorization("another scheme", "Basic YWRhOng="),
    _authorization("a token without `Bearer`", "eyJ.e30.x"),
    _authorization("a token that is none of ours", "Bearer eyJ.e30.x"),
    _authorization("two tokens", "Bearer a, Bearer b"),
    _bare("a temporary token for an access token", f"POST {AUTH}/verify-token", "temporary"),
    _json("an access token for a temporary one", f"POST {VERIFY}", {"otp": "123456"}, "access"),
    _json("a refresh token that is none", f"POST {REFRESH}", {"refresh_token": "x"}),
]
MALFORMED = {
    "Bodies": BODIES,
    "Logins": LOGINS,
    "Fields": FIELDS,
    "Addresses, methods and headers": PARAMETERS,
    "Tokens": TOKENS,
}
