"""Tests about the system: what must stay true of it whoever changes it.

Import directions are checked by import-linter (pyproject.toml), types by mypy.
"""

from __future__ import annotations

import email
import email.policy
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from deploy.standalone.front import Front
from services.auth import app as auth
from services.auth.api.guards import current_challenge, current_session
from services.auth.gateway.forward import passing_session
from services.auth.tokens.keys import generate
from services.notifier.channel import Delivery
from services.notifier.mailbox import Mailbox
from services.notifier.mails.login_code import LoginCodeMail
from services.portal import app as portal
from services.portal.api import Services
from services.portal.settings import PortalSettings
from services.portal.visit import visit
from services.users import app as users
from services.users.callers import caller
from shared.messaging import event_types
from shared.messaging.memory import MemoryBus
from shared.messaging.topology import SUBSCRIPTIONS
from tests.asking import client_of
from tests.composed import Keys, auth_settings, users_settings
from tests.recording import Recorder, otp_message
from tests.servers.databases import Databases

PROJECT = Path(__file__).parents[1]
SOURCES = sorted(path for package in ("shared", "services", "deploy") for path in (PROJECT / package).rglob("*.py"))
TESTKIT = sorted((PROJECT / "testkit" / "login2fa_testing").rglob("*.py"))

# A stranger may log in, with a password or a passkey, swap a refresh token, have the value of a cookie, register, read
# how that is done, ask for a new password, and read the public keys.
PUBLIC = {
    ("POST", "/api/v1/auth/token"),
    ("POST", "/api/v1/auth/refresh-token"),
    ("POST", "/api/v1/auth/cookie"),
    ("POST", "/api/v1/auth/cookie/access"),
    ("POST", "/api/v1/auth/passkey/options"),
    ("POST", "/api/v1/auth/passkey"),
    ("GET", "/api/v1/users/registration"),
    ("POST", "/api/v1/users/registration"),
    ("POST", "/api/v1/users/registration/confirm"),
    ("POST", "/api/v1/users/password-reset"),
    ("POST", "/api/v1/users/password-reset/confirm"),
    ("GET", "/.well-known/jwks.json"),
}
# A value for each parameter in a path.
IDS: dict[str, object] = {
    "demands": "admin",
    **dict.fromkeys(("user_id", "account_id", "session_id", "app_id", "device_id", "passkey_id"), uuid4()),
}
# What reads a token, and refuses the request without a good one.
GUARDS = {current_session, passing_session, current_challenge, caller}

SUBSCRIBERS = {
    "auth.otp_requested.v1": {"notifier.otp"},
    "notifier.otp_outcome.v1": {"auth.otp_outcomes"},
    "notifier.heartbeat.v1": {"auth.heartbeats"},
    "users.account_changed.v1": {"auth.accounts"},
    "users.in_step.v1": {"auth.in_step"},
    "auth.notice_requested.v1": {"notifier.notices"},
    "users.notice_requested.v1": {"notifier.notices"},
    "auth.session_ended.v1": {"users.ended_sessions"},
    "users.code_requested.v1": {"notifier.account_codes"},
    "notifier.account_code_outcome.v1": {"users.account_code_outcomes"},
    "auth.address_proved.v1": {"users.proved_addresses"},
    "auth.factors_changed.v1": {"users.account_factors"},
    "auth.password_rehashed.v1": {"users.rehashed_passwords"},
}
# For whoever binds a queue of his own.
UNHEEDED = {"auth.audit.v1", "users.audit.v1", "users.account_public.v1"}
NOWHERE = Databases("none", "postgresql+asyncpg://nobody:secret@127.0.0.1:1/none")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    generate(folder)
    otp_sealing, account_sealing = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    return Keys(folder=folder, otp_sealing=otp_sealing, account_sealing=account_sealing, pepper="0123456789abcdef" * 2)


@pytest.fixture(scope="module")
def apps(keys: Keys) -> dict[str, FastAPI]:
    return {
        "auth": auth.build(auth_settings(NOWHERE, keys)),
        "users": users.build(users_settings(NOWHERE, keys, "http://127.0.0.1:1/")),
    }


@pytest.fixture(scope="module")
def pages() -> FastAPI:
    """The portal."""
    return portal.build(PortalSettings(), Services(auth=httpx.AsyncClient(), users=httpx.AsyncClient()))


def routes(app: FastAPI) -> Iterator[tuple[str, str, Dependant]]:
    for route in iter_route_contexts(app.routes):
        for method in sorted(route.methods or ()):
            yield method, str(route.path_format), route.dependant


def depends_on(dependant: Dependant) -> set[object]:
    return {dependant.call, *(call for inner in dependant.dependencies for call in depends_on(inner))}


# --- routes


def test_every_route_is_guarded_by_a_token_or_named_public(apps: dict[str, FastAPI]) -> None:
    seen = {(method, path): depends_on(needs) for app in apps.values() for method, path, needs in routes(app)}
    assert len(seen) >= 13
    assert {route for route, needs in seen.items() if not needs & GUARDS} == PUBLIC


async def test_every_guarded_route_answers_401_without_a_token(apps: dict[str, FastAPI]) -> None:
    for app in apps.values():
        app.state.auth = app.state.users = SimpleNamespace()
        async with client_of(app) as client:
            for method, path, _ in routes(app):
                if (method, path) not in PUBLIC:
                    answer = await client.request(method, path.format(**IDS))
                    assert (answer.status_code, answer.json()["code"]) == (401, "token_missing"), path


def test_every_route_lies_below_one_of_the_two_public_prefixes(apps: dict[str, FastAPI]) -> None:
    for service, app in apps.items():
        for _, path, _ in routes(app):
            assert path.startswith((f"/api/v1/{service}/", "/.well-known/")), path


async def test_every_form_of_the_portal_is_refused_unless_a_page_of_ours_has_sent_it(pages: FastAPI) -> None:
    assert all(visit in depends_on(needs) for _, _, needs in routes(pages))
    posted = {path for method, path, _ in routes(pages) if method not in ("GET", "HEAD")}
    assert {"/login", "/logout", "/register"} <= posted
    async with client_of(pages) as client:
        for path in posted:
            answer = await client.post(re.sub(r"{[^}]+}", str(uuid4()), path), headers={"Sec-Fetch-Site": "same-site"})
            assert answer.status_code == 403, path


def test_no_page_of_the_portal_hides_a_part_of_the_api(pages: FastAPI) -> None:
    assert not [path for _, path, _ in routes(pages) if path.startswith(("/api", "/.well-known", "/docs", "/openapi"))]


async def test_the_documentation_covers_the_routes_of_both_services(apps: dict[str, FastAPI], pages: FastAPI) -> None:
    async with client_of(Front(auth=apps["auth"], users=apps["users"], portal=pages)) as client:
        documented = (await client.get("/openapi.json")).json()["paths"]
    for app in apps.values():
        for method, path, _ in routes(app):
            assert method.lower() in documented[path], path


# --- events


def test_every_event_has_exactly_the_subscribers_it_should_and_none_is_unwanted() -> None:
    wanted = {
        kind: {each.queue for each in SUBSCRIPTIONS if kind in each.routing_keys}
        for each in SUBSCRIPTIONS
        for kind in each.routing_keys
    }
    assert wanted == SUBSCRIBERS
    assert set(event_types.EVENTS) == set(SUBSCRIBERS) | UNHEEDED
    assert {kind for kind in event_types.EVENTS if not event_types.mandatory(kind)} == UNHEEDED


def test_the_type_of_an_event_begins_with_its_publisher_and_ends_in_its_version() -> None:
    for kind in event_types.EVENTS:
        assert re.fullmatch(r"(auth|users|notifier)\.[a-z_]+\.v[1-9]\d*", kind)


@pytest.mark.parametrize("kind", sorted(SUBSCRIBERS))
async def test_every_event_is_publishable(kind: str) -> None:
    bus, seen = MemoryBus(), Recorder()
    for queue in SUBSCRIBERS[kind]:
        await bus.consume(queue, seen, concurrency=1)
    message = otp_message("e")
    await bus.publish(type(message)(routing_key=kind, body=b"{}", event_id="e", correlation_id="c"))
    assert [delivery.routing_key for delivery in seen.deliveries] == [kind] * len(SUBSCRIBERS[kind])
    await bus.close()


def test_rows_reach_an_outbox_through_the_one_function_that_takes_events_only() -> None:
    writers = [
        path for path in SOURCES if re.search(r"insert\(\s*outbox|outbox\.insert\(|INTO\s+\S*outbox", _text(path))
    ]
    assert writers == [PROJECT / "shared" / "messaging" / "outbox.py"]


# --- modules


def test_no_module_is_named_for_a_role_instead_of_a_job() -> None:
    roles = re.compile(r"(^|_)(utils?|helpers?|base|managers?|services?|common|misc|core)$")
    stems = {path: path.stem for path in [*SOURCES, *TESTKIT, *(PROJECT / "tests").rglob("*.py")]}
    assert [str(path) for path, stem in stems.items() if roles.search(stem)] == []


def test_every_module_fits_in_a_head() -> None:
    modules = [*SOURCES, *TESTKIT, *(PROJECT / "tests").rglob("*.py")]
    long = {str(path.relative_to(PROJECT)): len(_text(path).splitlines()) for path in modules}
    assert {name: lines for name, lines in long.items() if lines >= 300} == {}


CONNECTS_NOWHERE = """
import importlib, sys

FORBIDDEN = ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen", "os.fork")

def forbid(event, arguments):
    if event in FORBIDDEN:
        raise RuntimeError(f"{event} at import")

sys.addaudithook(forbid)
for module in sys.argv[1:]:
    importlib.import_module(module)
import threading
assert threading.active_count() == 1, threading.enumerate()
"""


def importable() -> list[str]:
    paths = [path for path in SOURCES if "migrations" not in path.parts and path.name != "__main__.py"]
    return [".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__") for path in paths]


def test_no_module_connects_starts_a_process_or_a_thread_at_import() -> None:
    modules = importable()
    assert {"shared.messaging.relay", "services.auth.app", "services.cli", "deploy.standalone.up"} <= set(modules)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CONNECTS_NOWHERE, *modules],
        cwd=PROJECT,
        env={"PYTHONPATH": str(PROJECT)},  # no setting of any service either: importing needs none
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# --- the mail


def test_the_code_is_in_the_body_of_a_mail_and_in_none_of_its_headers() -> None:
    now = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    code = "493817"
    delivery = Delivery(
        event_id="e", correlation_id="c", email="dave@test.com", code=code,
        requested_at=now, expires_at=now + timedelta(minutes=4),
    )  # fmt: skip
    for subject in ("Your login code", "{{ code }}", "{code} %(code)s $code"):
        composed = LoginCodeMail(sender=Mailbox("login@test.com"), subject=subject, site="Acme").compose(delivery)
        mail = email.message_from_bytes(composed, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        assert mail["Subject"] == f"[Acme] {subject}"
        for part in mail.walk():
            assert code not in str(part.items())
        assert all(code in part.get_content() for part in mail.iter_parts())


def test_the_code_stands_in_its_own_templates_alone_and_no_template_has_headers() -> None:
    templates = sorted((PROJECT / "services" / "notifier" / "mails").glob("*.j2"))
    names = {path.name.partition(".")[0] for path in templates}
    assert names == {"login_code", "account_code", "notice", "frame", "subject"}
    for path in templates:
        assert _text(path).count("{{ code }}") == (1 if "code" in path.name else 0)
        assert not re.search(r"^subject:|<title>(?!{{ subject }}<)[^<]*\{", _text(path), re.IGNORECASE | re.MULTILINE)


def _text(path: Path) -> str:
    return path.read_text()
