"""A small HTTP server that answers like Login2FA, but for what a test breaks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pyotp

Answer = tuple[int, Any]

CODE = "271828"
ACCOUNT_CODE = "7K9M2Q4TZ1"
APP = pyotp.TOTP("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
RECOVERY_CODES = ["k7x9m-2q4tz", "m3n8p-7r2wv"]
REFUSED: Answer = (401, {"detail": "Token not valid"})


class LoginApi:
    """`wrong` replaces the answer at a path; `secrets` collects all that no screen may show."""

    def __init__(self, otp_file: Path, wrong: Mapping[str, Answer]) -> None:
        self.url = ""
        self.secrets: set[str] = set()
        self._otp_file = otp_file
        self._wrong = wrong
        self._email = ""
        self._app_code = ""
        self._pairs = 0
        self._ended = False

    def answer(self, path: str, body: Mapping[str, Any]) -> Answer:
        self.secrets |= {body[name] for name in ("password", "otp", "code") if name in body}
        status, answer = self._wrong.get(path) or self._right(path.removeprefix("/api/v1/"), body)
        self.secrets |= {value for value in _values(answer) if value.endswith(".secret")}
        return status, answer

    def _right(self, path: str, body: Mapping[str, Any]) -> Answer:
        answers: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "users/registration": self._register,
            "auth/token": self._send_code,
            "auth/verify-otp": lambda given: self._pair() if given["otp"] == CODE else REFUSED,
            "users/me": lambda _given: (200, {"email": self._email}),
            "auth/refresh-token": lambda _given: REFUSED if self._ended else self._pair(),
            "auth/verify-token": lambda _given: REFUSED if self._ended else (200, {"message": True}),
            "auth/logout": self._end,
            "auth/factors/totp": self._enrol_app,
            "auth/factors/totp/an-app/confirm": self._confirm_app,
            "auth/verify-totp": self._verify_app,
            "auth/factors/passkeys/options": lambda _given: _ceremony(rp={"id": "localhost"}, user={"id": "QW5u"}),
            "auth/factors/passkeys": lambda given: (201, {"id": "a-passkey", "name": given["name"]}),
            "auth/passkey/options": lambda _given: _ceremony(rpId="localhost"),
            "auth/passkey": lambda given: self._pair() if given["credential"]["response"]["userHandle"] else REFUSED,
            "users/password-reset": self._send_reset_code,
            "users/password-reset/confirm": lambda given: (204, None) if given["code"] == ACCOUNT_CODE else REFUSED,
        }
        return answers[path](body)

    def _register(self, account: Mapping[str, Any]) -> Answer:
        self._email = account["email"]
        return 201, {"email": self._email, "is_2fa": True}

    def _send_code(self, _credentials: Mapping[str, Any]) -> Answer:
        challenge = {"temporary_token": _token("temporary"), "otp_required": True}
        if self._app_code:
            return 200, challenge | {"methods": ["totp", "email", "recovery"], "sent": False}
        self._otp_file.write_text(f"{self._email}/{CODE}\n")
        return 200, challenge

    def _send_reset_code(self, forgetful: Mapping[str, Any]) -> Answer:
        file = self._otp_file.with_name(f"{self._otp_file.name}.account-codes")
        file.write_text(f"{forgetful['email']}/reset/{ACCOUNT_CODE}\n")
        return 202, {"reset_token": "00000000-0000-4000-8000-000000000000", "expires_in": 600}

    def _enrol_app(self, _name: Mapping[str, Any]) -> Answer:
        uri = APP.provisioning_uri()
        self.secrets |= {APP.secret, uri, *RECOVERY_CODES}
        return 201, {"id": "an-app", "secret": APP.secret, "uri": uri, "qr_svg": f'<svg class="{APP.secret}">'}

    def _confirm_app(self, given: Mapping[str, Any]) -> Answer:
        self._app_code = given["otp"]
        return (200, {"recovery_codes": RECOVERY_CODES}) if APP.verify(self._app_code, valid_window=1) else REFUSED

    def _verify_app(self, given: Mapping[str, Any]) -> Answer:
        used = given["otp"] == self._app_code
        return REFUSED if used or not APP.verify(given["otp"], valid_window=1) else self._pair()

    def _end(self, _nothing: Mapping[str, Any]) -> Answer:
        self._ended = True
        return 204, None

    def _pair(self) -> Answer:
        self._pairs += 1
        self._ended = False
        pair = {f"{kind}_token": _token(f"{kind}{self._pairs}") for kind in ("access", "refresh")}
        return 200, pair


@contextmanager
def login_api(otp_file: Path, wrong: Mapping[str, Answer] | None = None) -> Iterator[LoginApi]:
    """Serve on a free port; an answer that is text is sent as it is, not as JSON."""
    api = LoginApi(otp_file, wrong or {})

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            is_json = self.headers.get("Content-Type", "") == "application/json"
            form = {name: values[0] for name, values in parse_qs(sent.decode()).items()}
            status, body = api.answer(self.path, json.loads(sent) if is_json else form)
            content = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer  # noqa: N815 - http.server looks for these names

        def log_message(self, *_args: object) -> None:
            """Tests look at what the client shows."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()


def _ceremony(**options: Any) -> Answer:
    return 200, {"ceremony": _token("ceremony"), "options": {"challenge": "QUFBQQ", **options}}


def _token(name: str) -> str:
    return f"{name.ljust(50, '-')}.secret"


def _values(answer: Any) -> list[str]:
    return [value for value in answer.values() if isinstance(value, str)] if isinstance(answer, dict) else []
