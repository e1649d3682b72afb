"""The lines of docs/api-by-hand.md in containers, with the one that reads MailHog in its place."""

from __future__ import annotations

from login2fa_testing import Login2FA
from tests.document_lines import assert_register_log_in_and_log_out, marked


def test_with_the_line_for_mailhog_they_log_in_here_too(healthy: Login2FA) -> None:
    lines = marked("curl").splitlines(keepends=True)
    (codes,) = [number for number, line in enumerate(lines) if line.startswith("until CODE=")]
    assert codes == 4, "the document calls it the fifth line"
    lines[codes] = marked("curl from MailHog")

    script = "".join(lines).replace("http://localhost:8201", healthy.base_url)
    inbox = f"http://127.0.0.1:{healthy.compose.port('mailhog', 8025)}"
    assert_register_log_in_and_log_out(script.replace("http://127.0.0.1:8025", inbox))
