"""The lines of the documents do what they say. In containers: tests/compose/test_document_lines.py."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import httpx

from deploy.standalone.throwaway import throwaway_stack
from tests.document_lines import answered, assert_register_log_in_and_log_out, marked
from tests.polling import wait_until
from tests.servers.listening import running
from tests.servers.ports import free_ports

A_SECOND = 1.0
LOG_IN = """curl -s -o "$SESSION" $API/auth/token -d "username=$BOB" -d 'password=correct horse'\n"""


def test_the_ten_lines_register_log_in_and_log_out() -> None:
    lines = marked("curl")
    with throwaway_stack(demo_accounts=False, say=print) as stack:
        lines = lines.replace("http://localhost:8201", stack.base_url)
        assert_register_log_in_and_log_out(lines.replace(".local/otp-logs.txt", str(stack.otp_file)))


def test_the_six_lines_log_in_by_an_app_and_nothing_is_mailed() -> None:
    *ten_but_one, log_out = marked("curl").splitlines(keepends=True)
    assert "/auth/logout" in log_out, "the document says that the six lines stand in its place"
    six = marked("curl for an authenticator app")
    assert len(six.splitlines()) == 6
    with throwaway_stack(demo_accounts=False, say=print) as stack:
        lines = "".join([*ten_but_one, six]).replace("http://localhost:8201", stack.base_url)
        printed = answered(lines.replace(".local/otp-logs.txt", str(stack.otp_file)))
        mailed = stack.otp_file.read_text().splitlines()
    recovery_codes, pair = re.findall(r"\{[^{}]*\}", printed)[-2:]
    assert len(json.loads(recovery_codes)["recovery_codes"]) == 10
    assert json.loads(pair)["access_token"]
    assert len(mailed) == 1


def test_the_line_for_a_demo_account_logs_in() -> None:
    line = marked("curl as a demo account")
    with throwaway_stack(demo_accounts=True, say=print) as stack:
        answer = answered(line.replace("http://localhost:8201", stack.base_url))
    assert set(json.loads(answer)) >= {"access_token", "refresh_token"}


def test_the_lines_for_a_forgotten_password_end_the_old_session_within_a_second(tmp_path: Path) -> None:
    settings, register, *recover = marked("curl for a forgotten password").splitlines(keepends=True)
    assert len(recover) == 3, "the document calls the one with the code the fourth"
    session = tmp_path / "session.json"
    with throwaway_stack(demo_accounts=False, say=print) as stack, httpx.Client(trust_env=False) as client:
        lines = "".join([f"SESSION={session}\n", settings, register, LOG_IN, *recover])
        lines = lines.replace("http://localhost:8201", stack.base_url)
        printed = answered(lines.replace(".local/otp-logs.txt", str(stack.otp_file)))
        headers = {"Authorization": f"Bearer {json.loads(session.read_text())['access_token']}"}

        def over() -> bool:
            at_auth = client.post(f"{stack.base_url}/api/v1/auth/verify-token", headers=headers)
            at_users = client.get(f"{stack.base_url}/api/v1/users/me", headers=headers)
            return (at_auth.status_code, at_users.status_code) == (401, 401)

        wait_until(over, timeout=A_SECOND)
    assert printed.endswith("204\n")


def test_the_app_of_the_tutorial_says_who_its_visitor_is(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    app = tmp_path / "app.py"
    app.write_text(marked("app", "python").replace("3000", str(port)))
    with running([sys.executable, str(app)], port, tmp_path):
        answer = httpx.get(f"http://127.0.0.1:{port}/a<b", headers={"X-Auth-Subject": "<Ann>"}, trust_env=False)
    assert answer.text == "<h1>/a%3Cb</h1><p>You are &lt;Ann&gt;."
