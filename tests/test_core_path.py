"""The core path of docs/architecture.md can be read in an afternoon, and leads nowhere that it does not name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1]
MOST_LINES = 1500

# Modules that a reader of the core path may take at their names.
OUTSIDE = {
    "shared": {
        "audit", "audit_words", "database.pool", "database.prepared", "failpoints", "messaging.address_events",
        "messaging.backoff", "messaging.event_types", "messaging.outbox_metrics", "messaging.signed",
        "messaging.topology", "names", "observability.correlation", "observability.tracing", "passwords.hashing",
        "sealing", "tokens.access", "web.problems",
    },
    "services.auth": {
        "accounts.read_model", "accounts.read_model_watch", "factors.back_pressure", "factors.code_caps",
        "factors.failed_codes", "factors.methods", "factors.proofs", "factors.refusals", "login.attempts",
        "login.known_addresses", "login.rehash", "login.trusted_devices", "sessions.client", "sessions.ending",
        "sessions.renewal_statements", "settings", "tables", "tokens.issue",
    },
    "services.notifier": {
        "channel", "circuit_breaker", "database_time", "delivery_ends", "mail_failures", "mail_server", "mailbox",
        "mails.composer", "mails.lifetime", "mails.mime_message", "mails.style", "reach",
        "report", "settings", "smtp_metrics", "turns",
    },
}  # fmt: skip


def core_path() -> list[Path]:
    (section,) = re.findall(
        r"^## The core path\n(.*?)^## ", (PROJECT / "docs" / "architecture.md").read_text(), re.DOTALL | re.MULTILINE
    )
    return [PROJECT / path for path in re.findall(r"`((?:services|shared)/[\w/]+\.py)`", section)]


def imported(path: Path) -> Iterator[str]:
    """The modules of ours."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in {"services", "shared"}:
            for alias in node.names:
                inner = PROJECT / node.module.replace(".", "/") / f"{alias.name}.py"
                yield f"{node.module}.{alias.name}" if inner.exists() else node.module


def test_it_is_short() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in core_path()}
    assert 12 <= len(lines) <= 14
    assert sum(lines.values()) <= MOST_LINES, lines


def test_it_imports_nothing_else_than_itself_and_what_is_named_here() -> None:
    inside = {".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in core_path()}
    outside = {f"{package}.{module}" for package, modules in OUTSIDE.items() for module in modules}
    found = {module for path in core_path() for module in imported(path)}

    assert found - inside - outside == set()
    assert outside - found == set(), "named, and not imported"
