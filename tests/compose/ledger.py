"""What clients have asked at the gateway, and what came of it."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

ANSWER_SECONDS = 40.0  # more than the gateway allows a service

REGISTRATION = "/api/v1/users/registration"
TOKEN = "/api/v1/auth/token"
VERIFY = "/api/v1/auth/verify-otp"
RESEND = "/api/v1/auth/resend-otp"
ME = "/api/v1/users/me"
READ = {ME}


@dataclass(frozen=True)
class Asked:
    """One request; the moments are those of `time.monotonic`, `status` is None where no answer came."""

    request_id: str
    path: str
    begun: float
    ended: float
    status: int | None
    said: str = field(repr=False, default="")
    retry_after: str = ""

    @property
    def failed(self) -> bool:
        """No answer, or one that is no fault of the client's."""
        return self.status is None or self.status >= 500

    @property
    def seconds(self) -> float:
        return self.ended - self.begun

    def under_way_in(self, moments: tuple[float, float]) -> bool:
        return self.begun <= moments[1] and self.ended >= moments[0]

    def __str__(self) -> str:
        return f"{self.path} {self.status} after {self.seconds:.2f} s {self.said[:200]}"


class Ledger:
    """Shared by the clients of one test."""

    def __init__(self) -> None:
        self._asked: list[Asked] = []
        self._lock = threading.Lock()

    def all(self) -> list[Asked]:
        with self._lock:
            return list(self._asked)

    def failures(self) -> list[Asked]:
        return [asked for asked in self.all() if asked.failed]

    def ask(
        self,
        client: httpx.Client,
        path: str,
        *,
        token: str = "",
        form: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> httpx.Response | None:
        """The answer; None where none came."""
        request_id, begun = uuid.uuid4().hex, time.monotonic()
        headers = {"X-Request-ID": request_id} | ({"Authorization": f"Bearer {token}"} if token else {})
        method = "GET" if path in READ else "POST"
        try:
            answer = client.request(method, path, headers=headers, data=form, json=body)
        except httpx.TransportError as error:
            self._keep(Asked(request_id, path, begun, time.monotonic(), None, repr(error)))
            return None
        said = answer.text if answer.is_error else ""
        retry_after = answer.headers.get("retry-after", "")
        self._keep(Asked(request_id, path, begun, time.monotonic(), answer.status_code, said, retry_after))
        return answer

    def _keep(self, asked: Asked) -> None:
        with self._lock:
            self._asked.append(asked)
