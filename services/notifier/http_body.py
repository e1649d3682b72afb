"""The body of a request to a mail service: a template of the operator's, with the mail's parts as values."""

from __future__ import annotations

import email
import email.policy
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from email.headerregistry import Address
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.notifier.mails.own_templates import made_up
from services.notifier.mails.style import Style

JSON: Final = "application/json"
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2


def _in_a_form(value: object) -> str:
    return quote_plus(str(value))


_WRITERS: Final[dict[str, Callable[[object], object]]] = {
    JSON: partial(json.dumps, default=str),  # `str` of an undefined value raises
    "application/x-www-form-urlencoded": _in_a_form,
}


def read_headers(lines: str) -> Iterator[tuple[str, str]]:
    """Names in lower case. Raises ValueError, whose text holds nothing of them."""
    for number, line in enumerate(filter(None, map(str.strip, lines.splitlines())), 1):
        name, colon, value = line.partition(":")
        if not (colon and _TOKEN.fullmatch(name) and value.strip().isprintable() and value.isascii()):
            raise ValueError(f"MAIL_HTTP_HEADERS: line {number} is no header: write Name: value, in ASCII")
        yield name.lower(), value.strip()


class HttpBody:
    """Each value is written as its JSON, with the quotes, or encoded for a form: none can break out of its place."""

    def __init__(self, path: Path, content_type: str) -> None:
        kind = content_type.partition(";")[0].strip().lower()
        if kind not in _WRITERS:
            raise ValueError(f"the Content-Type in MAIL_HTTP_HEADERS must be {' or '.join(_WRITERS)}")
        self._is_json = kind == JSON
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined,
            autoescape=False,  # no HTML; `finalize` encodes
            finalize=_WRITERS[kind],
        )
        del environment.filters["tojson"]  # with it, a value would be JSON within JSON
        self._template = environment.from_string(path.read_text("utf-8"))

    def of(self, composed: bytes) -> bytes:
        """Raises `TemplateError`, ValueError."""
        mail = email.message_from_bytes(composed, policy=email.policy.SMTP)
        text, html = (part.get_content() for part in mail.iter_parts())
        sender = _only(mail["From"].addresses)
        body = self._template.render(
            to=str(mail["To"]),
            subject=str(mail["Subject"]),
            text=text,
            html=html,
            from_address=sender.addr_spec,
            from_name=sender.display_name,
            reply_to=_only(mail["Reply-To"].addresses).addr_spec if "Reply-To" in mail else "",
            purpose=str(mail["X-Purpose"]),
            event_id=str(mail["X-Event-Id"]),
            mime=b64encode(composed).decode(),
        )
        if self._is_json:
            json.loads(body)
        return body.encode()


def _only(addresses: tuple[Address, ...]) -> Address:
    (address,) = addresses
    return address


def refuse_bad_body(path: Path, content_type: str, *, style: Style, site: str) -> None:
    """Renders every mail with values made up. Raises ValueError, which says what to do."""
    try:
        body = HttpBody(path, content_type)
        for _, composed, code in made_up(style, site=site):
            _refuse_without_code(body.of(composed).decode(), composed, code)
    except OSError as error:
        raise ValueError(f"MAIL_HTTP_BODY: {path} can not be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ValueError(
            f"MAIL_HTTP_BODY: {path} gives no JSON ({error.msg}, line {error.lineno}): write values without quotes, as"
            ' in {"Subject": {{ subject }}}, or name another Content-Type in MAIL_HTTP_HEADERS'
        ) from None
    except (TemplateError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
        raise ValueError(f"MAIL_HTTP_BODY: {path}{line}: {error}") from None


def _refuse_without_code(rendered: str, composed: bytes, code: str) -> None:
    if code not in rendered and b64encode(composed).decode() not in rendered:
        raise ValueError("a mail with a code lacks it: write {{ text }} or {{ mime }} into it")
