"""Composes the auth service, in the same way for production, `make up` and tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from services.auth.accounts import in_step
from services.auth.accounts.notices import Notices
from services.auth.accounts.read_model import account_changed_handler
from services.auth.accounts.read_model_watch import LAG, ReadModelWatch
from services.auth.api import administration, cookies, factors, keys, login, passkeys, refresh, second_factor, sessions
from services.auth.api import devices as device_routes
from services.auth.api.guards import Auth
from services.auth.expiry import expired
from services.auth.factors.assertions import Assertions, Site
from services.auth.factors.back_pressure import BackPressure
from services.auth.factors.ceremonies import Ceremonies
from services.auth.factors.challenges import Challenges
from services.auth.factors.codes import Codes
from services.auth.factors.delivery_reports import otp_outcome_handler
from services.auth.factors.enrolled import Enrolled, follow
from services.auth.factors.failed_codes import WrongCodes
from services.auth.factors.notifiers import heartbeat_handler
from services.auth.factors.open_challenges import OpenChallenges
from services.auth.factors.passkeys import Passkeys
from services.auth.factors.recovery_codes import RecoveryCodes
from services.auth.factors.totp import AuthenticatorApps
from services.auth.gateway import demands, forward, verify_token
from services.auth.gateway.answers import AnswersGateways
from services.auth.gateway.browsers import Browsers
from services.auth.login.attempts import Attempts
from services.auth.login.known_addresses import KnownAddresses
from services.auth.login.log_in import Login
from services.auth.login.passkey_login import PasskeyLogin
from services.auth.login.password import PasswordCheck
from services.auth.login.rehash import Rehash
from services.auth.login.second_factor import SecondFactor
from services.auth.login.step_up import StepUp
from services.auth.login.trusted_devices import TrustedDevices
from services.auth.sessions.account_sessions import AccountSessions
from services.auth.sessions.active import ActiveSessions
from services.auth.sessions.cookies import CookieSessions
from services.auth.sessions.lifecycle import Sessions
from services.auth.sessions.stepping_up import SteppingUp
from services.auth.settings import AuthSettings
from services.auth.tables import metadata, outbox
from services.auth.tokens.issue import Tokens
from services.auth.tokens.keys import KeyRing
from shared import audit_acts
from shared.database.expiry import sweep_forever
from shared.database.pool import Database
from shared.database.schema import Schema
from shared.messaging.bus import Bus
from shared.messaging.edges import EdgeKeys
from shared.messaging.relay import Relay
from shared.messaging.signed import SignedBus
from shared.messaging.topology import ACCOUNT_READ_MODEL, HEARTBEATS, IN_STEP, OTP_OUTCOMES
from shared.messaging.when_ready import WhenReady
from shared.passwords.hashing import Passwords
from shared.sealing import Sealer
from shared.web.application import Service
from shared.web.cors import for_browsers
from shared.web.process import Running
from shared.web.rate_limit import RateLimiter

_VERIFY = frozenset({"verify-otp", "verify-totp", "verify-recovery", "verify-password", "verify-passkey"})
TOKEN_ENDPOINTS = frozenset(f"/api/v1/auth/{name}" for name in {"token", "refresh-token", "passkey", *_VERIFY})
_ASKS = frozenset({"cookie", "resend-otp", "challenge/email", "challenge/passkey", "passkey/options", "step-up"})
# Endpoints where a password, a code or a token can be guessed, or a mail or a signature be asked for.
RATE_LIMITED = TOKEN_ENDPOINTS | {f"/api/v1/auth/{name}" for name in _ASKS}

_EVENTS_AT_A_TIME = 8
_REPORTS_AT_A_TIME = 128  # one batch uses one pool connection


def build(settings: AuthSettings) -> Service:
    app = Service(
        "auth",
        max_body=settings.max_body,
        max_headers=settings.max_headers,
        token_endpoints=TOKEN_ENDPOINTS,
        limiter=RateLimiter.of(settings, RATE_LIMITED),
        trusted_proxies=settings.trusted_proxies,
        cache_control="no-store",  # RFC 6749 section 5.1, errors included
    )
    browsers = Browsers(settings.issuer, settings.portal_redirects)
    app.edge = AnswersGateways(app.edge, browsers)  # around the limits, whose refusals it translates too
    app.edge = for_browsers(app.edge, settings.cors_origins, but=(demands.PATH,))
    routes = (
        verify_token,
        forward,
        refresh,
        cookies,
        login,
        second_factor,
        factors,
        passkeys,
        device_routes,
        sessions,
        administration,
        keys,
    )
    for each in routes:
        app.include_router(each.router)
    return app


def _composed(
    settings: AuthSettings,
    database: Database,
    passwords: Passwords,
    tokens: Tokens,
    notices: Notices,
    read_model: ReadModelWatch,
) -> Auth:
    sessions_begun = Sessions(settings, tokens)
    addresses = KnownAddresses(settings)
    attempts = Attempts(settings, database, addresses, notices)
    back_pressure = BackPressure(settings, database)
    codes = Codes(
        settings,
        Sealer.of(settings.otp_sealing_keys),
        back_pressure,
        WrongCodes(settings.otp_wrong_in_a_row, notices),
    )
    challenges = Challenges(settings, codes)
    enrolled = Enrolled.of(settings, notices)
    assertions = Assertions(site=Site.of(settings.relying_party), ceremonies=Ceremonies(tokens), notices=notices)
    devices = TrustedDevices(database, timedelta(seconds=settings.trusted_device_lifetime))
    open_challenges = OpenChallenges(settings, codes)
    second = SecondFactor(
        database=database,
        challenges=challenges,
        open_challenges=open_challenges,
        sessions=sessions_begun,
        stepping_up=SteppingUp(settings, sessions_begun),
        addresses=addresses,
        devices=devices,
    )
    return Auth(
        settings=settings,
        database=database,
        passwords=passwords,
        tokens=tokens,
        sessions=sessions_begun,
        account_sessions=AccountSessions(settings, database),
        active=ActiveSessions(settings, database),
        cookies=CookieSessions(settings, database, tokens, sessions_begun),
        login=Login(
            database=database,
            attempts=attempts,
            password=PasswordCheck(
                database=database,
                passwords=passwords,
                read_model=read_model,
                failure_deadline=settings.login_failure_deadline,
            ),
            rehash=Rehash(database=database, passwords=passwords, sealer=Sealer.of(settings.account_sealing_keys)),
            challenges=challenges,
            sessions=sessions_begun,
            addresses=addresses,
            devices=devices,
        ),
        second_factor=second,
        step_up=StepUp(
            database=database,
            challenges=challenges,
            attempts=attempts,
            passwords=passwords,
            second_factor=second,
        ),
        codes=codes,
        enrolled=enrolled,
        apps=AuthenticatorApps(settings, database, Sealer.of(settings.factor_sealing_keys), enrolled),
        recovery=RecoveryCodes(database=database, passwords=passwords, enrolled=enrolled),
        passkeys=Passkeys(database=database, enrolled=enrolled, assertions=assertions),
        passkey_login=PasskeyLogin(
            database=database,
            assertions=assertions,
            open_challenges=open_challenges,
            sessions=sessions_begun,
            addresses=addresses,
        ),
        devices=devices,
        back_pressure=back_pressure,
        read_model=read_model,
    )


@asynccontextmanager
async def running(settings: AuthSettings, bus: Bus) -> AsyncIterator[Running]:
    """Raises `KeysInvalid`, `TopologyMismatch`."""
    database = Database(
        settings.auth_database_url.get_secret_value(),
        pool_size=settings.database_pool,
        max_age=settings.database_max_age,
    )
    passwords = Passwords.of(settings)
    audit_acts.initialise("auth")
    tokens = Tokens(settings, KeyRing(settings.jwt_keys_dir))  # before it consumes: a bad folder is all it then tells
    notices = Notices(settings, database)
    app = build(settings)
    signed = SignedBus(bus, EdgeKeys.of(settings))
    relay = Relay("auth", database, outbox, signed)
    schema = Schema(database, metadata)
    begin = partial(WhenReady.begin, signed, schema.is_ready)
    read_model = ReadModelWatch(lambda: accounts.live, patience=settings.login_failure_deadline)
    LAG.set_function(lambda: read_model.lag)
    account_handler = account_changed_handler(database, Sealer.of(settings.account_sealing_keys), follow)
    accounts, outcomes, in_step_reports, heartbeats = await asyncio.gather(
        begin(ACCOUNT_READ_MODEL.queue, read_model.noting(account_handler), concurrency=_EVENTS_AT_A_TIME),
        begin(OTP_OUTCOMES.queue, otp_outcome_handler(database), concurrency=_REPORTS_AT_A_TIME),
        begin(IN_STEP.queue, in_step.in_step_handler(database), concurrency=1),
        begin(HEARTBEATS.queue, heartbeat_handler(database), concurrency=_EVENTS_AT_A_TIME),
    )
    auth = app.state.auth = _composed(settings, database, passwords, tokens, notices, read_model)
    relay.start()
    outdated = expired(settings.familiar_address_lifetime)
    tasks = [
        asyncio.create_task(sweep_forever(database, outdated), name="auth sweep"),
        asyncio.create_task(auth.back_pressure.judge_forever(), name="auth back-pressure"),
        asyncio.create_task(read_model.look_forever(), name="auth read model"),
        asyncio.create_task(in_step.watch_forever(database), name="auth in step"),
    ]

    async def relay_alive() -> bool:
        return relay.alive

    async def consumer_live() -> bool:
        return all(each.live for each in (accounts, outcomes, in_step_reports, heartbeats))

    checks = {"auth-database": schema.is_ready, "auth-relay": relay_alive, "auth-consumer": consumer_live}
    try:
        yield Running(app=app, checks=checks, keep_alive=settings.keep_alive)
    finally:
        for task in tasks:
            task.cancel()
        # Concurrently; requests in flight got the other half of the grace.
        grace = settings.shutdown_grace / 2
        deadline = time.monotonic() + grace
        await asyncio.gather(*(each.stop(grace) for each in (accounts, in_step_reports, heartbeats, relay)))
        # After the relay: in a one-process setup, the codes that it still publishes are reported back to us.
        await outcomes.stop(max(0.0, deadline - time.monotonic()))
        passwords.close()
        await notices.close()
        await database.close()
