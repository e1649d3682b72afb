"""The portal's cookies. All are for its own host alone (`__Host-`), for no script, and for no POST of another site.

The state of a login is in them, so any replica serves the next page and none remembers anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from shared.web.cookies import GATE, SESSION


@dataclass(frozen=True, slots=True)
class Cookie:
    """`max_age`: seconds; None: until the browser is closed."""

    name: str
    max_age: int | None = None
    same_site: str = "lax"


FORM: Final = Cookie("__Host-login2fa-form")  # its HMAC is in each form before there is a session
LOGIN: Final = Cookie("__Host-login2fa-login")  # temporary token of a login or step-up that is under way
DEVICE: Final = Cookie("__Host-login2fa-device", 30 * 86400, "strict")  # trusted device
CODE: Final = Cookie("__Host-login2fa-code")  # token that goes with a code for a new password, or a registration
LANGUAGE: Final = Cookie("__Host-login2fa-lang", 365 * 86400)
SENT_ON: Final = Cookie("__Host-login2fa-sent", 30)  # logged in already, and sent on: if that comes back, no more
NOTICE: Final = Cookie("__Host-login2fa-notice", 60)  # what has happened, for the next page to say


def put(response: Response, cookie: Cookie, value: str) -> None:
    response.headers.append("Set-Cookie", _line(cookie.name, value, cookie.max_age, cookie.same_site))


def drop(response: Response, cookie: Cookie) -> None:
    response.headers.append("Set-Cookie", _line(cookie.name, "", 0))


def put_session(response: Response, session: str, max_age: int | None) -> None:
    response.headers.append("Set-Cookie", _line(SESSION, session, max_age))


def put_gate(response: Response, gate: str, domain: str, max_age: int | None) -> None:
    """The only one that other hosts get: those of `domain`."""
    response.headers.append("Set-Cookie", f"{_line(GATE, gate, max_age)}; Domain={domain}")


def drop_session(response: Response, domain: str) -> None:
    """`domain`: of the gate's cookie, if there is one."""
    response.headers.append("Set-Cookie", _line(SESSION, "", 0))
    if domain:
        response.headers.append("Set-Cookie", f"{_line(GATE, '', 0)}; Domain={domain}")


def _line(name: str, value: str, max_age: int | None, same_site: str = "lax") -> str:
    """`max_age`: seconds; None: until the browser is closed."""
    life = "" if max_age is None else f"; Max-Age={max_age}"
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site.title()}{life}"
