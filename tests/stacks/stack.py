"""The whole product, running, as those see it who are outside: a client, the owner of an inbox, an operator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from login2fa_testing import AccountCodePurpose
from tests.stacks.program import Program, tail

PASSWORD = "correct horse battery"


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody with an account. The username is the address in other letters, unless given."""

    email: str
    username: str
    password: str = field(default=PASSWORD, repr=False)
    is_2fa: bool = False
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class Tokens:
    access: str
    refresh: str


class Inbox(Protocol):
    """Where the codes arrive."""

    def codes(self, email: str) -> list[str]:
        """All so far, oldest first; one that was delivered twice counts once."""
        ...

    async def wait_for_code(self, email: str, *, after: int = 0) -> str:
        """The code that comes after the first `after` ones."""
        ...

    async def wait_for_account_code(self, email: str, *, purpose: AccountCodePurpose) -> str:
        """The newest code for this purpose, once there is one."""
        ...


class Stack(ABC):
    """`http` sends a path to the service that it belongs to. Tests share a stack: each makes its own people."""

    name: str
    http: httpx.AsyncClient
    inbox: Inbox
    admin: Person
    auth_database_url: str
    users_database_url: str

    def __init__(self) -> None:
        self.admin_tokens: Tokens | None = None  # of the first login as admin, which all tests share

    @property
    @abstractmethod
    def programs(self) -> list[Program]: ...

    async def kill(self) -> None:
        """Kill -9 of everything."""
        for program in self.programs:
            program.kill()

    @property
    def logs(self) -> list[Path]:
        return [program.log for program in self.programs]

    def log_sizes(self) -> dict[Path, int]:
        return {log: log.stat().st_size for log in self.logs if log.exists()}

    def logged(self, since: Mapping[Path, int]) -> str:
        """What its programs have written since `log_sizes` gave `since`; the end of it, if it is much."""
        return "".join(f"---- {log.name}\n{tail(log, since.get(log, 0))}" for log in self.logs)

    def written(self) -> str:
        """All that its programs have written so far."""
        return "".join(log.read_text() for log in self.logs)
