"""Steps of the demo: each call is shown, and an answer that is not the expected one ends the walk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from deploy.standalone.transcript import Call, Transcript


class StepFailed(Exception):
    """The text may hold secrets in full: hide them before it is printed."""

    def __init__(self, step: str, *, expected: str, came: str) -> None:
        super().__init__(f"Step {step} failed.\n  expected: {expected}\n  came:     {came}")


class Calls:
    def __init__(self, client: httpx.Client, api: str, transcript: Transcript) -> None:
        self._client = client
        self._api = api
        self._transcript = transcript
        self._number = 0
        self._step = ""

    def _begin(self, title: str) -> None:
        self._number += 1
        self._step = f"{self._number} ({title})"
        self._transcript.heading(f"{self._number}. {title}")

    def _call(
        self,
        method: str,
        path: str,
        status: int,
        *,
        bearer: str | None = None,
        json: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        call = Call(method=method, url=self._api + path, bearer=bearer, json=json, form=form)
        self._transcript.request(call)
        headers = {"Authorization": f"Bearer {bearer}"} if bearer is not None else None
        try:
            response = self._client.request(method, call.url, json=json, data=form, headers=headers)
        except httpx.HTTPError as error:
            raise self._failure("an answer", f"{type(error).__name__}: {error}") from error
        self._transcript.answer(response)
        if response.status_code != status:
            raise self._failure(f"status {status}", f"status {response.status_code}: {response.text}")
        return {} if status == httpx.codes.NO_CONTENT else self._object(response)

    def _object(self, response: httpx.Response) -> dict[str, Any]:
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise self._failure("a JSON object", response.text)
        return body

    def _expect(self, answer: Mapping[str, Any], **fields: object) -> None:
        for name, expected in fields.items():
            if answer.get(name) != expected:
                raise self._failure(f"{name}: {json.dumps(expected)}", json.dumps(answer))

    def _text(self, answer: Mapping[str, Any], name: str) -> str:
        value = answer.get(name)
        if not isinstance(value, str) or not value:
            raise self._failure(f"a field {name}", json.dumps(answer))
        return value

    def _part(self, answer: Mapping[str, Any], name: str) -> dict[str, Any]:
        value = answer.get(name)
        if not isinstance(value, dict):
            raise self._failure(f"an object {name}", json.dumps(answer))
        return value

    def _failure(self, expected: str, came: str) -> StepFailed:
        return StepFailed(self._step, expected=expected, came=came)
