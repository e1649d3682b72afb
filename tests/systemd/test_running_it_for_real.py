"""The lines of docs/running.md, on a bare Debian: then people register, log in and get mail."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.document_lines import marked
from tests.e2e_required import require_public_image
from tests.systemd.debian import IMAGE, Debian, debian

pytestmark = pytest.mark.long

# Put between the document's two blocks, where a person edits the settings: a mail server on the machine itself.
SETTINGS = """
apt-get install --yes -qq python3-aiosmtpd curl > /dev/null
systemd-run --quiet --unit inbox --property StateDirectory=inbox \\
    python3 -m aiosmtpd -n -l 127.0.0.1:1025 -c aiosmtpd.handlers.Mailbox /var/lib/inbox/mails
sed -i 's/^SMTP_HOST=.*/SMTP_HOST=127.0.0.1/; s/^SMTP_PORT=.*/SMTP_PORT=1025/; s/^SMTP_SECURITY=.*/SMTP_SECURITY=none/;
    s/^SMTP_USERNAME=.*//; s/^MAIL_FROM=.*/MAIL_FROM=login@example.com/' /etc/login2fa/settings.env
"""
UNITS = ("login2fa@auth", "login2fa@users", "login2fa@notifier", "login2fa@portal", "login2fa-gateway")
READY = """
for port in 9000 9001 9002 9003; do
  for _ in $(seq 120); do curl -fs -o /dev/null http://127.0.0.1:$port/readyz && break; sleep 0.5; done
  curl -fsS http://127.0.0.1:$port/readyz?verbose
done
"""
KEYS = "curl -fsS http://127.0.0.1:8080/.well-known/jwks.json"


@pytest.fixture(scope="module")
def installed() -> Iterator[Debian]:
    require_public_image(IMAGE)
    with debian() as machine:
        machine.run(marked("debian"))
        machine.run(SETTINGS)
        asked = "login2fa users create-admin --email you@example.com"
        starts = marked("debian starts").replace(asked, f"echo 'a long phrase of ours' | {asked} --stdin")
        machine.run(starts.replace("\nlogin2fa doctor\n", "\n"))
        machine.run(READY)
        yield machine


def test_a_login_with_a_mailed_code_works_from_the_gateway_to_the_inbox(installed: Debian) -> None:
    lines = marked("curl").replace("http://localhost:8201", "http://127.0.0.1:8080")
    codes = next(line for line in lines.splitlines() if line.startswith("until CODE="))
    from_inbox = (
        'until CODE=$(cat /var/lib/inbox/mails/new/* 2>/dev/null | grep -A60 "$ME" | grep -xE "[0-9]{6}" | tail -n 1)'
        ' && [ -n "$CODE" ]; do sleep 0.1; done'
    )
    printed = installed.run(lines.replace(codes, from_inbox))
    assert '"full_name":"Ann Lee"' in printed
    assert '{"message":true}' in printed


def test_the_doctor_finds_nothing_but_that_nobody_answers_at_the_example_address(installed: Debian) -> None:
    environment = "set -a; . /etc/login2fa/settings.env; . /etc/login2fa/commands.env; set +a"
    found = installed.run(f"{environment}; login2fa doctor || [ $? = 1 ]")
    assert {line.split()[1] for line in found.splitlines() if line.split()[:1] in (["warn"], ["fail"])} == {"issuer:"}


def test_the_pages_are_there(installed: Debian) -> None:
    assert "<form" in installed.run("curl -fsS http://127.0.0.1:8080/login")


def test_a_new_signing_key_is_published_without_a_restart(installed: Debian) -> None:
    before = len(json.loads(installed.run(KEYS))["keys"])
    started = installed.run("systemctl show -P ExecMainStartTimestamp login2fa@auth")
    installed.run("systemctl start login2fa-rotate-keys")
    installed.run(
        f"for _ in $(seq 60); do [ $({KEYS} | grep -o kid | wc -l) -gt {before} ] && exit; sleep 0.5; done; exit 1"
    )
    assert installed.run("systemctl show -P ExecMainStartTimestamp login2fa@auth") == started


def test_every_unit_runs_confined_and_none_has_failed(installed: Debian) -> None:
    assert installed.run(f"systemctl is-active {' '.join(UNITS)}").split() == ["active"] * len(UNITS)
    assert installed.run("systemctl list-units --failed --plain --no-legend 'login2fa*'") == ""
    users = installed.run(
        f"for unit in {' '.join(UNITS)}; do ps -o user:32= -p $(systemctl show -P MainPID $unit); done"
    )
    assert len(set(users.split())) == len(UNITS)
    assert "root" not in users.split()
    listening = installed.run("ss -Hltn | awk '{print $4}'")
    outside = {each for each in listening.split() if not each.startswith(("127.", "[::1]"))}
    # 4369 and 25672 are RabbitMQ's between its nodes, guarded by its cookie.
    assert {each.rsplit(":", 1)[1] for each in outside} <= {"8080", "8081", "4369", "25672"}


def test_a_stop_ends_in_order(installed: Debian) -> None:
    installed.run("systemctl restart login2fa@auth login2fa@users login2fa@notifier login2fa@portal")
    ended = installed.run("journalctl --no-pager -u 'login2fa@*' -o cat")
    assert "Failed with result" not in ended
    assert "timed out" not in ended.lower()
    installed.run(READY)
