"""Everything in one process: embedded Postgres, in-process bus, three services, file channel."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from deploy.demo_accounts import DEMO_ACCOUNTS, create_demo_accounts
from deploy.standalone.front import Front
from deploy.standalone.postgres import EmbeddedPostgres, PostgresFailed
from deploy.standalone.postgres.prepare import prepare
from deploy.standalone.state import Secrets, State
from services.auth import app as auth
from services.auth.settings import AuthSettings
from services.migrate import migrate
from services.notifier import app as notifier
from services.notifier.settings import NotifierSettings
from services.portal import app as portal
from services.portal.api import Services
from services.portal.settings import PortalSettings
from services.traces import exporting
from services.users import app as users
from services.users.settings import UsersSettings
from shared.configuration.settings import SettingsInvalid, load
from shared.database.migrations import SchemaRefused
from shared.messaging.memory import MemoryBus
from shared.observability import build, logs
from shared.web.process import CannotListen, Running, listen, served, stop_signal

DATABASE = "login2fa"
HOST = "127.0.0.1"
# Browsers take no IP address as the domain of passkeys.
NAME = "localhost"
# The portal's address, to the services in the same process: no connection comes from there (RFC 6666).
PORTAL = "100::1"

# Errors of a folder that can not be STATE_DIR.
_UNFIT_FOLDER = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.ENAMETOOLONG,
}


class CannotStart(Exception):
    """One sentence for the person who typed `make up`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    auth: AuthSettings
    users: UsersSettings
    notifier: NotifierSettings
    portal: PortalSettings


async def up(*, port: int, state_dir: Path, demo: bool) -> None:
    """Run until SIGTERM or Ctrl-C. Raises `CannotStart`."""
    try:
        await _up(stop_signal(), port=port, state_dir=state_dir, demo=demo)
    except (CannotListen, PostgresFailed) as error:
        raise CannotStart(str(error)) from error
    except SchemaRefused as error:
        raise CannotStart(f"{error} Here that is another STATE_DIR, or {state_dir} removed.") from error
    except SettingsInvalid as error:
        raise CannotStart(f"Settings not valid. {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CannotStart(f"The disk that holds {state_dir} is full: free some room and start again.") from error
        if error.errno in _UNFIT_FOLDER:
            where = error.filename or state_dir
            raise CannotStart(
                f"Cannot write {where}: {error.strerror}. Choose another folder with STATE_DIR."
            ) from error
        raise


async def _up(stop: asyncio.Event, *, port: int, state_dir: Path, demo: bool) -> None:
    # Bound first: a second `make up` must fail here, before it changes the state of the first.
    public = _listen(port)
    management = listen(HOST, 0, hint="")
    state = State(state_dir)
    secrets = state.secrets()
    state.ensure_signing_key()
    async with _postgres(state, secrets) as postgres:
        settings = _settings(state, secrets, postgres, port=public[0].getsockname()[1], demo=demo)
        owner = postgres.url("migrator", secrets.migrator_password, DATABASE)
        await migrate("auth", owner)
        await migrate("users", owner)
        with _logging_to(state.log):
            if demo:  # before the relay starts: auth must know them when we print them
                await create_demo_accounts(settings.users)
            async with (
                exporting("standalone", settings.auth),
                _services(settings) as running,
                served(running, management, *public, grace=5),
            ):
                _tell(state, settings.auth.issuer, management.getsockname()[1], demo=demo)
                await _until(stop, postgres)
                print(f"\nStopping; the state stays in {state.folder}.", flush=True)


def _listen(port: int) -> list[socket.socket]:
    """On both loopback addresses: some clients, as Node.js 18, try only the first of those that `localhost` has."""
    hint = "Is another one running? Stop it, or choose another port with PORT."
    sockets = [listen(HOST, port, hint=hint)]
    if _has_ipv6():
        sockets.append(listen("::1", sockets[0].getsockname()[1], hint=hint))
    return sockets


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as any_port:
            any_port.bind(("::1", 0))
    except OSError:
        return False
    return True


@asynccontextmanager
async def _postgres(state: State, secrets: Secrets) -> AsyncIterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(state.postgres)
    await asyncio.to_thread(postgres.start)
    try:
        await prepare(postgres, secrets.database_passwords, DATABASE)
        yield postgres
    finally:
        await asyncio.to_thread(postgres.stop)


async def _until(stop: asyncio.Event, postgres: EmbeddedPostgres) -> None:
    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await stop.wait()
        if postgres.poll() is not None:
            raise CannotStart(f"PostgreSQL has ended by itself; its log says why: {postgres.log}")


@asynccontextmanager
async def _services(settings: Settings) -> AsyncIterator[Running]:
    build.announce("auth", "users", "notifier", "portal")
    bus = MemoryBus()
    async with AsyncExitStack() as stack:
        # Consumers start first and stop last. Until users runs, events for it wait in the outbox of auth.
        stack.push_async_callback(bus.close)
        parts = [
            await stack.enter_async_context(notifier.running(settings.notifier, bus)),
            await stack.enter_async_context(auth.running(settings.auth, bus)),
            await stack.enter_async_context(users.running(settings.users, bus)),
        ]
        checks = {name: check for part in parts for name, check in part.checks.items()}
        apps = [part.app for part in parts if isinstance(part.app, FastAPI)]
        reasons = {name: reason for part in parts for name, reason in part.reasons.items()}
        within = Services(auth=_within(apps[0]), users=_within(apps[1]))
        pages = await stack.enter_async_context(portal.running(settings.portal, within))
        assert pages.app is not None  # noqa: S101 - the portal is no worker: only those have no app
        front = Front(auth=apps[0], users=apps[1], portal=pages.app)
        yield Running(app=front, checks=checks, reasons=reasons, keep_alive=settings.auth.keep_alive)


def _within(app: FastAPI) -> httpx.AsyncClient:
    """Asks the service in this process, as the only proxy that it believes."""
    transport = httpx.ASGITransport(app, client=(PORTAL, 0))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{NAME}")


def _settings(state: State, secrets: Secrets, postgres: EmbeddedPostgres, *, port: int, demo: bool) -> Settings:
    unused = SecretStr("amqp://in-process")
    common: dict[str, Any] = {
        **secrets.edge_keys,
        "otp_sealing_keys": secrets.otp_sealing_key,
        "account_sealing_keys": secrets.account_sealing_key,
        "mailed_code_sealing_keys": secrets.mailed_code_sealing_key,
        "rabbitmq_url": unused,
        "issuer": f"http://{NAME}:{port}",
        "shutdown_grace": 10.0,
    }
    return Settings(
        auth=load(
            AuthSettings,
            auth_database_url=postgres.url("auth", secrets.auth_password, DATABASE),
            jwt_keys_dir=state.keys,
            otp_peppers=secrets.otp_pepper,
            factor_sealing_keys=secrets.factor_sealing_key,
            trusted_proxies=PORTAL,
            **common,
        ),
        users=load(
            UsersSettings,
            users_database_url=postgres.url("users", secrets.users_password, DATABASE),
            auth_jwks_url=f"http://{HOST}:{port}/.well-known/jwks.json",
            mailed_code_peppers=secrets.mailed_code_pepper,
            demo=demo,
            trusted_proxies=PORTAL,
            **common,
        ),
        portal=load(PortalSettings, issuer=common["issuer"]),
        notifier=load(NotifierSettings, notifier_channel="file", otp_log_file=state.otp_log, demo=demo, **common),
    )


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", buffering=1) as file:
        logs.configure("standalone", "info", file)
        yield
        logs.configure("standalone", "info")


def _tell(state: State, public_url: str, management_port: int, *, demo: bool) -> None:
    lines = [
        "",
        f"Login2FA is running at  {public_url}/",
        f"API                     {public_url}/api/v1",
        f"Interactive docs        {public_url}/docs",
        f"Health and metrics      http://{HOST}:{management_port}/readyz  /livez  /metrics",
        f"One-time codes          {state.otp_log}",
        f"Codes for addresses     {state.account_codes}",
        f"Log                     {state.log}",
    ]
    lines += [f"Demo account            {account}" for account in DEMO_ACCOUNTS if demo]
    print("\n".join([*lines, "", "Ctrl-C ends it; the state stays."]), flush=True)
