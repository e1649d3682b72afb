"""Answers of the API, or one sentence that says what came instead."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx


class UnexpectedAnswer(Exception):
    """The API did not answer as it should; the message is the request and the sentence that came."""

    def __init__(self, answer: httpx.Response) -> None:
        request = answer.request
        super().__init__(f"{request.method} {request.url.path} answered {answer.status_code}: {_sentence(answer)}")
        self.answer = answer


def expect(answer: httpx.Response, status: HTTPStatus = HTTPStatus.OK) -> dict[str, Any]:
    if answer.status_code != status:
        raise UnexpectedAnswer(answer)
    body: dict[str, Any] = answer.json()
    return body


def bearer(token: str) -> dict[str, str]:
    """The header of a request with this token, whatever token the client sends otherwise."""
    return {"authorization": f"Bearer {token}"}


def _sentence(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
