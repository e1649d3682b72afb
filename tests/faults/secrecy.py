"""What must be in no log, whatever goes wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.stacks.processes import Processes
from tests.stacks.stack import PASSWORD

NEW_PASSWORD = "staple horse correct battery"  # of those who have forgotten the first

# Letters or a point beside it: a number, or a fraction of a second in a time, looks like a code.
_LIKE_CODES = re.compile(r"(?<![\w.-])\d{6}(?![\w-])")
_LIKE_TOKENS = re.compile(r"eyJ[\w-]{10,}\.[\w-]+\.[\w-]+")


def secrets_logged(stack: Processes, since: Mapping[Path, int]) -> set[str]:
    """Codes of mails, the passwords of all people, and tokens, in what was logged after `log_sizes` gave `since`."""
    mails = stack.inbox.sink.received
    codes = {mail.code for mail in mails if mail.has_code}
    account_codes = {mail.account_code for mail in mails if mail.purpose not in ("login", "notice")}
    hyphenated = {f"{code[:5]}-{code[5:]}" for code in account_codes}
    found: set[str] = set()
    for log in stack.logs:
        logged = log.read_bytes()[since.get(log, 0) :].decode(errors="replace")
        found |= codes & set(_LIKE_CODES.findall(logged))
        found |= set(_LIKE_TOKENS.findall(logged))
        found |= {secret for secret in (PASSWORD, NEW_PASSWORD, *account_codes, *hyphenated) if secret in logged}
    return found
