"""HTTP API of passwords: a new one for whoever knows the old one, or reads the mailbox."""

from __future__ import annotations

from fastapi import APIRouter

from services.users import audit, password_reset
from services.users.account_routes import BY_ID, PREFIX, AccountId
from services.users.callers import Caller, Composed, KnownCaller, Users
from services.users.presence import prove, require_presence
from services.users.problems import (
    CodeNotValid,
    CurrentPasswordWrong,
    EmailNotValid,
    PasswordsDiffer,
    PasswordTooWeak,
)
from services.users.schemas import CodeSentOut, EmailIn, MessageOut, PasswordIn, ResetIn, ResetStartedOut
from services.users.weak_passwords import refuse_weak
from services.users.writes import writing
from shared.web.bearer import LoginTooOld, NotPermitted, SecondFactorRequired
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import refused
from shared.web.problems import ItemNotFound, TooManyRequests

router = APIRouter(prefix=PREFIX, route_class=ShallowJsonRoute)


@router.post(
    "/change-password",
    summary="Change one's own password; every other session ends",
    responses=refused(
        PasswordsDiffer, PasswordTooWeak, CurrentPasswordWrong, SecondFactorRequired, ItemNotFound, TooManyRequests
    ),
)
async def change_password(users: Composed, known: KnownCaller, given: PasswordIn) -> MessageOut:
    if given.password != given.confirm_password:
        raise PasswordsDiffer
    own = known.token.account
    _refuse_weak(users, known, given.password)
    async with (
        users.hash_shares.one_change(own),
        audit.refusals(users.database, "password_changed", account=own, actor=own),
    ):
        proven_by = await prove(users, known, given.current_password)
        changes = {"password_hash": await users.passwords.hash(given.password, users.hash_shares.holders(own))}

        def rule(caller: Caller) -> None:
            _refuse_weak(users, caller, given.password)
            require_presence(caller, proven_by)

        async with writing(users, known, own, rule=rule) as write:
            await write.change(changes)
    return MessageOut(message="Password updated")


@router.post(
    "/password-reset",
    status_code=202,
    summary="Mail a code for a new password",
    responses=refused(EmailNotValid, TooManyRequests),
)
async def request_password_reset(users: Composed, given: EmailIn) -> ResetStartedOut:
    token = await password_reset.request(users, given.email)
    return ResetStartedOut(reset_token=token, expires_in=users.codes.lifetime("reset"))


@router.post(
    "/password-reset/confirm",
    status_code=204,
    summary="Set a new password with the mailed code; every session ends",
    responses=refused(CodeNotValid, PasswordTooWeak, TooManyRequests),
)
async def confirm_password_reset(users: Composed, given: ResetIn) -> None:
    """It logs nobody in, and second factors stay. A weak password leaves the code good."""
    await password_reset.confirm(users, given.reset_token, given.code, given.password)


@router.post(
    f"{BY_ID}/password-reset",
    status_code=202,
    summary="Have a code for a new password mailed to somebody",
    responses=refused(NotPermitted, SecondFactorRequired, LoginTooOld, ItemNotFound),
)
async def start_password_reset(users: Composed, known: KnownCaller, user_id: AccountId) -> CodeSentOut:
    """Its owner asks for a new password too, and uses the code of either mail."""
    await password_reset.start(users, known, user_id)
    return CodeSentOut(expires_in=users.codes.lifetime("reset"))


def _refuse_weak(users: Users, caller: Caller, password: str) -> None:
    refuse_weak(password, caller.account, min_length=users.settings.password_min_length, breached=users.breached)
