"""Passkeys: the caller's own ones, and logins with them."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from services.auth.api.factor_schemas import PasskeyOut
from services.auth.api.guards import Composed, Current, CurrentChallenge, Owner
from services.auth.api.passkey_schemas import (
    AddedPasskeyOut,
    NewPasskeyIn,
    PasskeyIn,
    QuestionOut,
    RenameIn,
    SecondPasskeyIn,
)
from services.auth.api.schemas import REFRESHED, LoggedInOut, TokenPairOut
from services.auth.factors.assertions import PasskeyNotValid, PasskeyProof, PasskeysOff
from services.auth.factors.methods import MethodNotOffered
from services.auth.factors.passkeys import TooManyPasskeys
from services.auth.sessions.client import FromClient
from shared.web.bearer import LoginTooOld, SecondFactorRequired
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import refused
from shared.web.problems import ItemNotFound, TooManyRequests

router = APIRouter(prefix="/api/v1/auth", route_class=ShallowJsonRoute)

_OWNERS = (LoginTooOld, SecondFactorRequired)


@router.post(
    "/factors/passkeys/options",
    summary="Begin with a passkey: what the browser is to ask for",
    responses=refused(PasskeysOff, TooManyPasskeys, *_OWNERS),
)
async def ask_for_passkey(auth: Composed, owner: Owner) -> QuestionOut:
    return QuestionOut.of(await auth.passkeys.options(owner.identity))


@router.post(
    "/factors/passkeys",
    status_code=201,
    summary="Add a passkey",
    response_model_exclude_unset=True,
    responses=refused(PasskeyNotValid, PasskeysOff, TooManyPasskeys, *_OWNERS),
)
async def add_passkey(auth: Composed, owner: Owner, client: FromClient, given: NewPasskeyIn) -> AddedPasskeyOut:
    """Ends the other sessions of the account. From now on it is a second factor, and logs in alone as well."""
    added = await auth.passkeys.add(owner.token, given.answer(), given.name)
    codes = await auth.recovery.first_ones(owner.token, auth.shares_of(client))
    return AddedPasskeyOut(**added, **({"recovery_codes": codes} if codes else {}))


@router.patch("/factors/passkeys/{passkey_id:uuid}", summary="Name a passkey", responses=refused(ItemNotFound))
async def rename_passkey(auth: Composed, current: Current, passkey_id: UUID, given: RenameIn) -> PasskeyOut:
    return PasskeyOut(**await auth.passkeys.rename(current.token.account, passkey_id, given.name))


@router.delete(
    "/factors/passkeys/{passkey_id:uuid}",
    status_code=204,
    summary="Remove a passkey",
    responses=refused(ItemNotFound, *_OWNERS),
)
async def remove_passkey(auth: Composed, owner: Owner, passkey_id: UUID) -> None:
    """Ends the other sessions of the account."""
    await auth.passkeys.remove(owner.token, passkey_id)


@router.post(
    "/passkey/options",
    summary="Log in with a passkey alone: what the browser is to ask for",
    responses=refused(PasskeysOff, TooManyRequests),
)
async def ask_to_log_in(auth: Composed) -> QuestionOut:
    """The same for everybody: the person chooses among the passkeys that the browser knows."""
    return QuestionOut.of(await auth.passkey_login.ask())


@router.post(
    "/passkey",
    summary="Log in with a passkey alone: swap the browser's answer for a token pair, once",
    responses=REFRESHED | refused(PasskeyNotValid, PasskeysOff, TooManyRequests),
)
async def log_in_with_passkey(auth: Composed, client: FromClient, given: PasskeyIn) -> TokenPairOut:
    return TokenPairOut.of(await auth.passkey_login.log_in(given.answer(), client))


@router.post(
    "/challenge/passkey",
    summary="A passkey for this login: what the browser is to ask for",
    responses=refused(MethodNotOffered, PasskeysOff, TooManyRequests),
)
async def ask_for_second_step(auth: Composed, challenge_id: CurrentChallenge) -> QuestionOut:
    return QuestionOut.of(await auth.passkey_login.ask_second(challenge_id))


@router.post(
    "/verify-passkey",
    summary="Swap the temporary token and the browser's answer for a token pair, once",
    response_model_exclude_none=True,
    responses=refused(PasskeyNotValid, PasskeysOff, TooManyRequests),
)
async def verify_passkey(
    auth: Composed, challenge_id: CurrentChallenge, client: FromClient, given: SecondPasskeyIn
) -> LoggedInOut:
    proof = PasskeyProof(auth.passkeys.assertions, given.answer())
    return LoggedInOut.after(
        await auth.second_factor.verify(challenge_id, proof, client, remember=given.remember_device)
    )
