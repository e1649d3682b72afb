"""A finding of the doctor: what, where, what to do, and where to read on. No text in it holds a secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "warn", "fail"]

EXIT_CODES: Final[dict[Level, int]] = {"ok": 0, "warn": 1, "fail": 2}

# Each has a section of this name in docs/doctor.md.
Name = Literal[
    "settings",
    "secret-file",
    "database",
    "database-role",
    "schema",
    "clock",
    "broker",
    "topology",
    "no-consumer",
    "dead-letters",
    "signing-keys",
    "signing-key-old",
    "public-keys",
    "keys-differ",
    "issuer",
    "fingerprints",
    "mail-server",
    "api",
    "mail",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`where`: the variable or file. `advice` is empty where nothing is to be done."""

    name: Name
    level: Level
    where: str
    said: str
    advice: str = ""

    @property
    def read_on(self) -> str:
        return f"docs/doctor.md#{self.name}"


def ok(name: Name, where: str, said: str) -> Finding:
    return Finding(name=name, level="ok", where=where, said=said)


def warn(name: Name, where: str, said: str, advice: str) -> Finding:
    return Finding(name=name, level="warn", where=where, said=said, advice=advice)


def fail(name: Name, where: str, said: str, advice: str) -> Finding:
    return Finding(name=name, level="fail", where=where, said=said, advice=advice)


def worst(findings: list[Finding]) -> Level:
    return max((each.level for each in findings), key=lambda level: EXIT_CODES[level], default="ok")
