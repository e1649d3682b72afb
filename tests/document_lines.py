"""The lines of the documents between two marks, as they stand there, and a run of them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[1]
DOCUMENTS = (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))

ONCE_MORE = """
curl -s -o /dev/null -w '%{http_code}' -X POST $API/auth/verify-token \\
    -H "authorization: Bearer $(echo "$PAIR" | field access_token)"
"""


def marked(mark: str, language: str = "sh") -> str:
    """They stand in one document, once."""
    between = re.compile(rf"<!-- {mark} -->\n```{language}\n(.*?)```\n<!-- /{mark} -->", re.DOTALL)
    found = [lines for document in DOCUMENTS for lines in between.findall(document.read_text())]
    assert len(found) == 1, f"{len(found)} documents have lines between <!-- {mark} --> and <!-- /{mark} -->"
    return str(found[0])


def assert_register_log_in_and_log_out(lines: str) -> None:
    """Run them, and see each step in what they print."""
    printed = answered(lines + ONCE_MORE)
    assert '"full_name":"Ann Lee"' in printed
    assert '{"message":true}' in printed
    assert printed.endswith("401"), "after the logout"


def answered(lines: str) -> str:
    """Run them; returns their standard output."""
    command = ["bash", "-euo", "pipefail", "-c", lines]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
