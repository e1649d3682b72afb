"""The output of the demo: requests as commands, answers in a legible form, secrets shortened."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

import httpx

SECRET_FIELDS = frozenset(
    {
        *("password", "access_token", "refresh_token", "temporary_token", "otp"),
        *("secret", "uri", "qr_svg", "recovery_codes", "ceremony"),
        *("clientDataJSON", "attestationObject", "authenticatorData", "signature"),  # too long to be read
    }
)
LONG = 40  # characters; a longer secret is a token, and may show both ends
INDENT = "   "

BOLD, DIM, RED, GREEN = "1", "2", "31", "32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    method: str
    url: str
    bearer: str | None = None
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None


@dataclass(slots=True)
class Transcript:
    out: TextIO
    colour: bool = False
    _secrets: dict[str, str] = field(default_factory=dict)

    def say(self, text: str = "") -> None:
        self._write(text, DIM)

    def heading(self, title: str) -> None:
        self._write(f"\n{title}", BOLD)

    def request(self, call: Call) -> None:
        self._note_secrets(call.json or call.form)
        self.command(*_curl(call))

    def command(self, *lines: str) -> None:
        first, *rest = (self.hide(line) for line in lines)
        self._write(" \\\n".join([f"{INDENT}$ {first}", *(f"{INDENT}    {line}" for line in rest)]))

    def answer(self, response: httpx.Response) -> None:
        lines = [f"< {response.status_code} {response.reason_phrase}", *self.legible(response).splitlines()]
        self._write("\n".join(f"{INDENT}{line}" for line in lines), GREEN if response.is_success else "")

    def passed(self, sentence: str) -> None:
        self._write(f"\n{sentence}", GREEN)

    def failed(self, sentence: str) -> None:
        self._write(f"\n{self.hide(sentence)}", RED)

    def secret(self, value: str) -> None:
        # As it is, and as it stands in JSON: a picture has quotes.
        for written in {value, json.dumps(value)[1:-1]} - {""}:
            self._secrets[written] = shortened(written)

    def hide(self, text: str) -> str:
        for value in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(value, self._secrets[value])
        return text

    def legible(self, response: httpx.Response) -> str:
        try:
            body = response.json()
        except ValueError:
            return self.hide(response.text)
        self._note_secrets(body)
        return self.hide(json.dumps(body, indent=2))

    def _note_secrets(self, body: Any) -> None:
        for name, value in body.items() if isinstance(body, Mapping) else ():
            if name not in SECRET_FIELDS:
                self._note_secrets(value)
                continue
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, str):
                    self.secret(each)

    def _write(self, text: str, style: str = "") -> None:
        print(f"\033[{style}m{text}\033[0m" if self.colour and style else text, file=self.out, flush=True)


def on_terminal(out: TextIO) -> Transcript:
    """Coloured on a terminal, unless NO_COLOR is set (no-color.org)."""
    return Transcript(out, colour=out.isatty() and not os.environ.get("NO_COLOR"))


def shortened(secret: str) -> str:
    return f"{secret[:8]}...{secret[-4:]}" if len(secret) > LONG else secret[0] + "*" * (len(secret) - 1)


def _curl(call: Call) -> list[str]:
    lines = [f"curl -X {call.method} {call.url}"]
    if call.bearer is not None:
        lines.append(f"-H {shlex.quote(f'Authorization: Bearer {call.bearer}')}")
    if call.json is not None:
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(call.json))}"]
    for name, value in (call.form or {}).items():
        lines.append(f"--data-urlencode {shlex.quote(f'{name}={value}')}")
    return lines
