"""Delivery by a mail service that takes requests over HTTP, such as Postmark or SendGrid.

1. `Idempotency-Key` is the event's id, so that a service that knows the header sends a repeated mail once.
2. A redirect is not followed: it could lead the code to somebody else.
3. 2xx is delivered. 408, 429 and 5xx are tried again, after `Retry-After`; 401 and 403 are about our credentials; 404,
   405 and 415 are about our settings, so no mail is lost for them; any other 4xx is about the mail, which is given up.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Final

import httpx

from services.notifier.channel import CredentialsRefused, DeliveryFailed, Mail, Notice, TryLater, WillNotDeliver
from services.notifier.http_body import HttpBody
from services.notifier.mails.composer import Composer
from services.notifier.reach import Reach
from services.notifier.server_words import quoted
from services.notifier.settings import NotifierSettings
from services.notifier.smtp_metrics import SECONDS
from services.notifier.turns import Turn
from shared.configuration.connections import trusted
from shared.observability import tracing

LONGEST_WAIT: Final = 60.0  # seconds; a code lives four minutes

_CREDENTIALS: Final = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_SETTINGS: Final = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
_LATER: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
_OUTCOMES: Final = {WillNotDeliver: "refused", CredentialsRefused: "credentials", TryLater: "retry"}


class HttpChannel:
    def __init__(self, settings: NotifierSettings) -> None:
        if settings.mail_http_url is None or settings.mail_http_body is None:
            raise ValueError("MAIL_HTTP_URL and MAIL_HTTP_BODY are needed")
        self.reach = Reach()
        self._url = httpx.URL(settings.mail_http_url)
        self._headers = settings.http_headers()
        self._composer = Composer(settings)
        self._body = HttpBody(settings.mail_http_body, self._headers["content-type"])
        self._client = httpx.AsyncClient(
            verify=trusted(), timeout=settings.smtp_timeout, trust_env=False, follow_redirects=False
        )
        self._not_before = 0.0

    async def deliver(self, mail: Mail, turn: Turn) -> str:
        if (left := self._not_before - time.monotonic()) > 0:
            raise TryLater(f"the mail service has asked us to wait, {left:.0f} s more")
        body = self._body.of(self._composer.compose(mail))
        turn.begin()
        began, outcome = time.perf_counter(), "accepted"
        try:
            with tracing.step("http send", "CLIENT", {"server.address": self._url.host}):
                return await self._posted(mail, body)
        except DeliveryFailed as failed:
            outcome = _OUTCOMES[type(failed)]
            raise
        finally:
            SECONDS.labels(self._url.host, outcome).observe(time.perf_counter() - began)

    async def probe(self) -> None:
        """Any answer will do: what a service says to a request that sends nothing is not about our mails."""
        await self._answered(self._client.build_request("HEAD", self._url))

    async def close(self) -> None:
        await self._client.aclose()

    async def _posted(self, mail: Mail, body: bytes) -> str:
        headers = {**self._headers, "idempotency-key": mail.event_id}
        answer = await self._answered(self._client.build_request("POST", self._url, headers=headers, content=body))
        code = "" if isinstance(mail, Notice) else mail.code
        said = f"{answer.status_code} {quoted(answer.text, recipient=mail.email, code=code)}".rstrip()
        if answer.is_success:
            return said
        raise self._sorted(answer)(f'the mail service answers "{said}". {_advice(answer)}')

    async def _answered(self, request: httpx.Request) -> httpx.Response:
        """Raises `TryLater`."""
        try:
            answer = await self._client.send(request)
        except httpx.HTTPError as error:
            reason = f"{self._url.host} gives no answer ({type(error).__name__}). Look at MAIL_HTTP_URL"
            self.reach.note(good=False, reason=reason)
            raise TryLater(reason) from None
        good = answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
        self.reach.note(good=good, reason="" if good else f"the mail service answers {answer.status_code}")
        return answer

    def _sorted(self, answer: httpx.Response) -> type[DeliveryFailed]:
        status = answer.status_code
        if status in _CREDENTIALS:
            return CredentialsRefused
        if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._not_before = time.monotonic() + _wait(answer)
            return TryLater
        return TryLater if status in _SETTINGS or answer.is_redirect else WillNotDeliver


def _wait(answer: httpx.Response) -> float:
    """Seconds; a date in `Retry-After` counts as none."""
    given = answer.headers.get("retry-after", "")
    return min(float(given), LONGEST_WAIT) if given.isascii() and given.isdigit() else 0.0


def _advice(answer: httpx.Response) -> str:
    status = answer.status_code
    if status in _CREDENTIALS:
        return "Look at MAIL_HTTP_HEADERS"
    if status in _SETTINGS or answer.is_redirect:
        return "Look at MAIL_HTTP_URL and the Content-Type in MAIL_HTTP_HEADERS; a redirect is not followed"
    if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "It may pass; if it lasts, look into the log of the mail service"
    return "It is about one mail; if it happens to all, look at MAIL_HTTP_BODY and MAIL_FROM"
