"""The rows by name. Several names may be measured together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.bench.bench import PARTS, Row
from tests.bench.rows import (
    backlog,
    checks,
    codes,
    factor_logins,
    logins,
    pages,
    processes,
    refreshes,
    relay,
    responsiveness,
    sizes,
    tables,
)

ROWS: dict[str, Row] = {
    "login": logins.login,
    "login-cpu": logins.login,
    "totp-login": factor_logins.totp_login,
    "passkey-login": factor_logins.passkey_login,
    "verify-token": checks.verify_token,
    "forward": checks.forward,
    "me": checks.me,
    "refresh": refreshes.refresh,
    "portal-login-page": pages.login_page,
    "code-latency": codes.latency,
    "backlog": backlog.drain,
    "relay": relay.relay,
    "liveness": responsiveness.liveness,
    "sizes": sizes.sizes,
    "tables": tables.tables,
    "memory": processes.processes,
    "start-up": processes.processes,
}

IN_PARTS: tuple[Row, ...] = (codes.latency, responsiveness.liveness)


class UnknownRow(Exception):
    """The text says which rows there are."""


def chosen(names: Sequence[str]) -> dict[Row, set[str]]:
    """What to measure for these names, each once, in the order of ROWS; all of it for none. Raises `UnknownRow`."""
    if unknown := [name for name in names if name not in ROWS]:
        raise UnknownRow(f"no such row: {', '.join(unknown)}; there are: {' '.join(ROWS)}")
    wanted: dict[Row, set[str]] = {}
    for name, row in ROWS.items():
        if not names or name in names:
            wanted.setdefault(row, set()).add(name)
    return wanted


def in_order(rows: Sequence[Row]) -> Iterator[Row]:
    """Each once; those that are measured in PARTS so many times, before and between the others."""
    others = [row for row in rows if row not in IN_PARTS]
    for part in range(PARTS):
        yield from (row for row in rows if row in IN_PARTS)
        yield from others[part * len(others) // PARTS : (part + 1) * len(others) // PARTS]
