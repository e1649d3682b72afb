"""What newman asks for the codes: it reads no files."""

from __future__ import annotations

from pathlib import Path

import httpx

from deploy.standalone.otp_inbox import OtpInbox
from deploy.standalone.postman import serving_codes


def test_codes_are_read_over_http_where_files_can_not_be(tmp_path: Path) -> None:
    file = tmp_path / "otp-logs.txt"
    file.write_text("ann+1@example.org/000001\n")
    file.with_name("otp-logs.txt.account-codes").write_text("ann+1@example.org/reset/K7X9M2Q4TZ\n")

    with serving_codes(OtpInbox(file, patience=0)) as url, httpx.Client(base_url=url, trust_env=False) as client:
        given = client.get("/code", params={"email": "ann+1@example.org"})
        account_code = client.get("/code", params={"email": "ann+1@example.org", "purpose": "reset"})
        others = [client.get("/code", params={"email": "bob@example.org"}), client.get("/code"), client.get("/")]

    assert (given.status_code, given.text) == (200, "000001")
    assert (account_code.status_code, account_code.text) == (200, "K7X9M2Q4TZ")
    assert [answer.status_code for answer in others] == [404, 404, 404]
