"""What must be in no log, whatever goes wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.stacks.processes import Processes
from tests.stacks.stack import PASSWORD

# Letters or a point beside it: a number, or a fraction of a second in a time, looks like a code.
_LIKE_CODES = re.compile(r"(?<![\w.-])\d{6}(?![\w-])")
_LIKE_TOKENS = re.compile(r"eyJ[\w-]{10,}\.[\w-]+\.[\w-]+")


def secrets_logged(stack: Processes, since: Mapping[Path, int]) -> set[str]:
    """Codes of mails, the password of all people, and tokens, in what was logged after `log_sizes` gave `since`."""
    codes = {mail.code for mail in stack.inbox.sink.received if mail.has_code}
    found: set[str] = set()
    for log in stack.logs:
        logged = log.read_bytes()[since.get(log, 0) :].decode(errors="replace")
        found |= codes & set(_LIKE_CODES.findall(logged))
        found |= set(_LIKE_TOKENS.findall(logged))
        found |= {secret for secret in (PASSWORD,) if secret in logged}
    return found
