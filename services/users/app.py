"""Composes the users service, in the same way for production, `make up` and tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from services.users import (
    account_factors,
    account_routes,
    address_routes,
    addresses,
    code_outcomes,
    codes,
    ended_sessions,
    guesses,
    in_step,
    password_routes,
    registration_keys,
)
from services.users.breach_filter import verified
from services.users.callers import HashShares, Users
from services.users.codes import Codes
from services.users.known_accounts import KnownAccounts
from services.users.notices import BUDGET
from services.users.rehashed_passwords import rehashed_handler
from services.users.routes import RATE_LIMITED, router
from services.users.settings import UsersSettings
from services.users.tables import metadata, outbox
from shared import audit_acts
from shared.database.expiry import sweep_forever
from shared.database.pool import Database
from shared.database.schema import Schema
from shared.messaging.address_events import AccountCodeOutcome
from shared.messaging.bus import Bus
from shared.messaging.edges import EdgeKeys
from shared.messaging.events import SessionEnded
from shared.messaging.factor_events import FactorsChanged
from shared.messaging.handlers import event_handler
from shared.messaging.relay import Relay
from shared.messaging.signed import SignedBus
from shared.messaging.topology import (
    ACCOUNT_CODE_OUTCOMES,
    ACCOUNT_FACTORS,
    ENDED_SESSIONS,
    PROVED_ADDRESSES,
    REHASHED_PASSWORDS,
)
from shared.messaging.when_ready import WhenReady
from shared.passwords.hashing import Passwords
from shared.sealing import Sealer
from shared.tokens.remote_keys import RemoteKeys
from shared.web.application import Service
from shared.web.cors import for_browsers
from shared.web.process import Running, check_of
from shared.web.rate_limit import RateLimiter

_EVENTS_AT_A_TIME = 2  # per queue: each uses a pool connection, and requests come first


def build(settings: UsersSettings) -> Service:
    app = Service(
        "users",
        max_body=settings.max_body,
        max_headers=settings.max_headers,
        token_endpoints=frozenset(),
        limiter=RateLimiter.of(settings, RATE_LIMITED),
        trusted_proxies=settings.trusted_proxies,
    )
    app.edge = for_browsers(app.edge, settings.cors_origins)
    routers = (account_routes.lean_router, router, address_routes.router, password_routes.router, account_routes.router)
    for each in routers:
        app.include_router(each)
    return app


@asynccontextmanager
async def running(settings: UsersSettings, bus: Bus) -> AsyncIterator[Running]:
    """Raises `BreachFilterInvalid`, `TopologyMismatch`."""
    breached = await asyncio.to_thread(verified, settings.breached_passwords)
    database = Database(
        settings.users_database_url.get_secret_value(),
        pool_size=settings.database_pool,
        max_age=settings.database_max_age,
    )
    passwords = Passwords.of(settings)
    audit_acts.initialise("users")
    keys = RemoteKeys(settings.auth_jwks_url)
    sealer = Sealer.of(settings.account_sealing_keys)
    app = build(settings)
    app.state.users = Users(
        settings=settings,
        database=database,
        passwords=passwords,
        sealer=sealer,
        keys=keys,
        known=KnownAccounts(database),
        hash_shares=HashShares(),
        codes=Codes(settings, Sealer.of(settings.mailed_code_sealing_keys)),
        breached=breached,
    )
    signed = SignedBus(bus, EdgeKeys.of(settings))
    relay = Relay("users", database, outbox, signed)
    schema = Schema(database, metadata)
    handlers = {
        ENDED_SESSIONS: event_handler(database, SessionEnded, ended_sessions.apply),
        PROVED_ADDRESSES: addresses.address_proved_handler(database, sealer),
        ACCOUNT_FACTORS: event_handler(database, FactorsChanged, account_factors.apply),
        REHASHED_PASSWORDS: rehashed_handler(database, sealer),
        ACCOUNT_CODE_OUTCOMES: event_handler(database, AccountCodeOutcome, code_outcomes.apply),
    }
    begin = partial(WhenReady.begin, signed, schema.is_ready, concurrency=_EVENTS_AT_A_TIME)
    consumptions = await asyncio.gather(*(begin(each.queue, handler) for each, handler in handlers.items()))
    relay.start()
    keys.start()
    expired = ended_sessions.EXPIRED + guesses.EXPIRED + registration_keys.EXPIRED + codes.EXPIRED + BUDGET.expired
    sweep = asyncio.create_task(sweep_forever(database, expired), name="users sweep")
    reports = asyncio.create_task(in_step.report_forever(database, settings.in_step_every), name="users in step")

    checks = {
        "users-database": schema.is_ready,
        "users-relay": check_of(lambda: relay.alive),
        "users-consumer": check_of(lambda: all(each.live for each in consumptions)),
        "users-keys": check_of(lambda: keys.known),
    }
    try:
        yield Running(app=app, checks=checks, keep_alive=settings.keep_alive)
    finally:
        sweep.cancel()
        reports.cancel()
        # Concurrently; requests in flight got the other half of the grace.
        grace = settings.shutdown_grace / 2
        await asyncio.gather(relay.stop(grace), *(each.stop(grace) for each in consumptions))
        await keys.close()
        passwords.close()
        await database.close()
