"""The walk of `make demo` against a server that answers wrongly: it says where, what was expected, and what came."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.standalone.demo import show
from deploy.standalone.otp_inbox import OtpInbox
from deploy.standalone.transcript import Transcript, on_terminal
from tests.servers.login_api import ACCOUNT_CODE, CODE, Answer, login_api
from tests.servers.ports import free_ports


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(otp_file: Path, wrong: Mapping[str, Answer] | None = None) -> tuple[int, str]:
    with login_api(otp_file, wrong) as api:
        out = io.StringIO()
        status = show(api.url, OtpInbox(otp_file, patience=0), Transcript(out))
    assert api.secrets
    assert not [secret for secret in api.secrets if secret in out.getvalue()]
    return status, out.getvalue()


def test_a_stack_that_answers_right_is_walked_through_to_the_end(tmp_path: Path) -> None:
    status, text = shown(tmp_path / "codes")

    assert status == 0
    assert "Every step went as it should." in text
    assert "$ curl -X POST http://127.0.0.1:" in text
    assert "< 201 Created" in text
    assert f"{CODE[0]}*****" in text
    assert f"/reset/{ACCOUNT_CODE[0]}*********" in text


@pytest.mark.parametrize(
    ("path", "answer", "step", "expected", "came"),
    [
        ("users/registration", (500, {"detail": "ill"}), "1 (Register", "status 201", 'status 500: {"detail": "ill"}'),
        ("users/registration", (201, {"email": "eve@example.org"}), "1 (Register", 'email: "ada.', "eve@"),
        ("auth/token", (200, {"otp_required": False}), "2 (Log in", "otp_required: true", "false"),
        (
            "auth/token",
            (200, {"otp_required": True, "temporary_token": "x", "access_token": "early".ljust(50) + ".secret"}),
            "2 (Log in",
            "no field access_token",
            "early",
        ),
        ("auth/verify-otp", (200, "<html>"), "4 (Swap the temporary", "a JSON object", "<html>"),
        ("auth/verify-otp", (200, {"access_token": "x"}), "4 (Swap", "a field refresh_token", "access_token"),
        ("users/me", (200, {"email": "eve@example.org"}), "5 (Ask the users", 'email: "ada.', "eve@"),
        ("auth/refresh-token", (401, {"detail": "no"}), "6 (Swap the refresh", "status 200", "status 401"),
        ("auth/verify-token", (200, {"message": False}), "7 (Ask whether", "message: true", "false"),
        ("auth/factors/totp", (201, {"id": "an-app"}), "8 (Enrol", "a field secret", "an-app"),
        ("auth/logout", (404, None), "10 (Log out", "status 204", "status 404"),
        ("auth/verify-totp", (400, {"detail": "no"}), "14 (Swap the temporary", "status 200", "status 400"),
        ("auth/factors/passkeys/options", (200, {"ceremony": "x"}), "15 (Ask what", "an object options", "ceremony"),
        ("auth/factors/passkeys", (400, {"detail": "no"}), "16 (Register a", "status 201", "status 400"),
        ("auth/passkey", (400, {"detail": "no"}), "18 (Log in with the passkey", "status 200", "status 400"),
        ("users/password-reset", (202, {"expires_in": 600}), "20 (The password", "a field reset_token", "expires_in"),
        ("users/password-reset/confirm", (400, {"detail": "no"}), "22 (Set a new", "status 204", "status 400"),
    ],
)
def test_a_step_that_goes_wrong_is_named(
    tmp_path: Path, path: str, answer: Answer, step: str, expected: str, came: str
) -> None:
    status, text = shown(tmp_path / "codes", {f"/api/v1/{path}": answer})

    assert status == 1
    failure = text[text.index("\nStep ") :]
    assert failure.startswith(f"\nStep {step}")
    assert f"expected: {expected}" in failure
    assert came in failure.partition("came:")[2]


def test_a_session_that_survives_its_logout_is_a_failure(tmp_path: Path) -> None:
    """A stack that says 204 and ends nothing."""
    status, text = shown(tmp_path / "codes", {"/api/v1/auth/logout": (204, None)})

    assert status == 1
    assert "Step 11 (The access token is refused now) failed" in text


def test_a_code_that_never_comes_is_a_failure(tmp_path: Path) -> None:
    with login_api(tmp_path / "codes") as api:
        out = io.StringIO()
        status = show(api.url, OtpInbox(tmp_path / "elsewhere", patience=0), Transcript(out))

    assert status == 1
    assert "Step 3 (Read the code" in out.getvalue()


def test_a_stack_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    out = io.StringIO()

    assert show(f"http://127.0.0.1:{port}", OtpInbox(tmp_path / "codes"), Transcript(out)) == 1
    assert "Step 1 (Register, with two-factor login on) failed" in out.getvalue()
    assert "ConnectError" in out.getvalue()


def test_there_is_colour_on_a_terminal_only_and_none_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert on_terminal(Terminal()).colour
    assert not on_terminal(io.StringIO()).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not on_terminal(Terminal()).colour
