"""The lines of the README do what they say, as they stand there. In containers: tests/compose/test_readme.py."""

from __future__ import annotations

import json

from deploy.standalone.throwaway import throwaway_stack
from tests.readme_lines import answered, assert_register_log_in_and_log_out, marked


def test_the_curl_lines_of_the_readme_register_log_in_and_log_out() -> None:
    lines = marked("curl")
    with throwaway_stack(demo_accounts=False, say=print) as stack:
        lines = lines.replace("http://127.0.0.1:8201", stack.base_url)
        assert_register_log_in_and_log_out(lines.replace(".local/otp-logs.txt", str(stack.otp_file)))


def test_the_curl_line_of_the_readme_logs_in_as_a_demo_account() -> None:
    line = marked("curl as a demo account")
    with throwaway_stack(demo_accounts=True, say=print) as stack:
        answer = answered(line.replace("http://127.0.0.1:8201", stack.base_url))
    assert set(json.loads(answer)) >= {"access_token", "refresh_token"}
