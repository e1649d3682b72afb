"""Schemathesis against the served API: what it tries, as whom, and what it found."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

import httpx
import schemathesis
from schemathesis import hooks
from schemathesis.auths import AuthContext
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.generation.case import Case
from schemathesis.hooks import HookContext
from schemathesis.schemas import BaseSchema

# In a sequence a link puts what the answer before held into the place of what was made to be wrong.
_ACCEPTED = "Schema-violating request accepted"


@dataclass
class Found:
    cases: int = 0
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    # By what is wrong, with the request that shows it.
    failures: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def add(self, recorder: ScenarioRecorder) -> None:
        for case, interaction in recorder.interactions.items():
            if interaction.response is not None:
                self.cases += 1
                label = recorder.cases[case].value.operation.label if case in recorder.cases else recorder.label
                self.statuses[label, interaction.response.status_code] += 1
        for case, nodes in recorder.checks.items():
            for node in nodes:
                if node.status is Status.FAILURE and node.failure_info is not None:
                    failure = node.failure_info.failure
                    if failure.title == _ACCEPTED and recorder.cases[case].is_transition_applied:
                        continue
                    title = f"{failure.operation}: {failure.title}: {failure.message}"
                    self.failures.setdefault(title, node.failure_info.code_sample)

    @property
    def server_errors(self) -> int:
        return sum(count for (_, status), count in self.statuses.items() if status >= 500)

    @property
    def undocumented(self) -> int:
        return sum(1 for title in self.failures if "Undocumented status code" in title)

    @property
    def never_accepted(self) -> set[str]:
        """The operations that were only ever refused: what lies behind the door was not looked at."""
        accepted = {label for label, status in self.statuses if status < 400}
        return {label for label, _ in self.statuses} - accepted


class Knowledge(Protocol):
    """What chance does not find, by operation, as `GET /path`."""

    def token(self, operation: str) -> str:
        """A bearer token that is good at this moment."""

    def body(self, operation: str) -> dict[str, Any] | None:
        """A body that succeeds, for some."""

    def ids(self, operation: str) -> dict[str, str]:
        """Parameters of the path, of what is there, for some: an account is nobody's who asks. Asked before `body`."""


def fuzz(url: str, knowledge: Knowledge, settings: dict[str, Any]) -> Found:
    """Blocks until every phase is over: examples, coverage, fuzzing and sequences of requests."""
    document = httpx.get(f"{url}/openapi.json", trust_env=False).raise_for_status().json()
    _add_forms(document)
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict(settings | {"base-url": url}))
    _log_in(schema, knowledge)
    found = Found()
    with _helped(knowledge):
        for event in from_schema(schema).execute():
            if isinstance(event, events.ScenarioFinished):
                found.add(event.recorder)
            elif isinstance(event, events.NonFatalError):
                found.errors.append(f"{event.label}: {event.value!r}")
            elif isinstance(event, events.FatalError):
                raise event.exception
    return found


def _add_forms(document: dict[str, Any]) -> None:
    """A form is served too where the document says so in words: with strings alone, and in this number of fields."""
    for path in document["paths"].values():
        for operation in path.values():
            body = operation.get("requestBody", {})
            for kind in body.pop("x-also-as", ()):
                name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                named = document["components"]["schemas"][name]
                fields = {field: each.get("anyOf", [each])[0] for field, each in named["properties"].items()}
                also = {"additionalProperties": {"type": "string"}, "maxProperties": 10}
                body["content"][kind] = {"schema": named | also | {"properties": fields}}


def _log_in(schema: BaseSchema, knowledge: Knowledge) -> None:
    @schema.auth(refresh_interval=None)
    class LogsIn:
        def get(self, case: Case[Any], _context: AuthContext) -> str:
            return knowledge.token(case.operation.label)

        def set(self, case: Case[Any], data: str, _context: AuthContext) -> None:
            case.headers["Authorization"] = f"Bearer {data}"


@contextmanager
def _helped(knowledge: Knowledge) -> Iterator[None]:
    """Every third valid request of an operation gets the ids and the body that it needs, to see what lies behind."""
    turns: dict[str, Iterator[int]] = defaultdict(count)

    def before_call(_context: HookContext, case: Case[Any], _arguments: dict[str, Any]) -> None:
        is_valid = case.meta is not None and case.meta.generation.mode.is_positive
        takes_help = is_valid and (case.path_parameters or isinstance(case.body, dict))
        if not takes_help or next(turns[case.operation.label]) % 3:
            return
        if case.path_parameters and (ids := knowledge.ids(case.operation.label)):
            case.path_parameters.update(ids)
            case.headers.pop("if-match", None)
        if isinstance(case.body, dict) and (body := knowledge.body(case.operation.label)) is not None:
            case.body = body
            case.query.clear()  # another account than one's own
            case.headers.pop("if-match", None)

    schemathesis.hook(before_call)  # there is no hook of this kind for one schema alone
    try:
        yield
    finally:
        hooks.unregister(before_call)
