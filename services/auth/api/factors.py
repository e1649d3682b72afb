"""The caller's second factors: an authenticator app and recovery codes (passkeys: services.auth.api.passkeys)."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

from fastapi import APIRouter

from services.auth.accounts.read_model import find
from services.auth.api.factor_schemas import (
    AppOut,
    ConfirmIn,
    FactorsOut,
    FirstCodesOut,
    NewAppIn,
    NewAppOut,
    PasskeyOut,
    RecoveryCodesOut,
    RecoveryStateOut,
)
from services.auth.api.guards import Composed, Current, Owner
from services.auth.factors.proofs import OtpNotValid
from services.auth.factors.recovery_codes import NoSecondFactor
from services.auth.sessions.client import FromClient
from shared.web.bearer import LoginTooOld, SecondFactorRequired
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import refused
from shared.web.problems import ItemNotFound

router = APIRouter(prefix="/api/v1/auth/factors", route_class=ShallowJsonRoute)

_REFUSALS = (LoginTooOld, SecondFactorRequired)


@router.get("", summary="The caller's second factors")
async def list_factors(auth: Composed, current: Current) -> FactorsOut:
    """Codes by mail are turned on and off with `PATCH /api/v1/users/`."""
    account = current.token.account
    async with auth.database.transaction() as connection:
        identity = await find(connection, account)
        app = await auth.apps.find(connection, account)
        codes = await auth.recovery.find(connection, account)
        passkeys = await auth.passkeys.list(connection, account)
    return FactorsOut(
        email=identity is not None and identity.is_2fa,
        totp=AppOut(**app) if app is not None else None,
        recovery_codes=RecoveryStateOut(**codes) if codes is not None else None,
        passkeys=[PasskeyOut(**row) for row in passkeys],
        passkeys_offered=auth.passkeys.assertions.site is not None,
    )


@router.post("/totp", status_code=201, summary="Begin with an authenticator app", responses=refused(*_REFUSALS))
async def enrol_app(auth: Composed, owner: Owner, given: NewAppIn) -> NewAppOut:
    """It is no factor before a code of it has confirmed it, and it replaces one that was not confirmed."""
    return NewAppOut(**asdict(await auth.apps.enrol(owner.identity, given.name)))


@router.post(
    "/totp/{app_id}/confirm",
    summary="Use the authenticator app from now on, in the place of an older one",
    response_model_exclude_none=True,
    responses=refused(OtpNotValid, ItemNotFound, *_REFUSALS),
)
async def confirm_app(
    auth: Composed, owner: Owner, client: FromClient, app_id: UUID, given: ConfirmIn
) -> FirstCodesOut:
    """Ends the other sessions of the account. The code does not log in as well."""
    await auth.apps.confirm(owner.token, app_id, given.otp)
    return FirstCodesOut(recovery_codes=await auth.recovery.first_ones(owner.token, auth.shares_of(client)))


@router.delete(
    "/totp/{app_id}",
    status_code=204,
    summary="Remove the authenticator app",
    responses=refused(ItemNotFound, *_REFUSALS),
)
async def remove_app(auth: Composed, owner: Owner, app_id: UUID) -> None:
    """Ends the other sessions of the account."""
    await auth.apps.remove(owner.token, app_id)


@router.post(
    "/recovery-codes",
    status_code=201,
    summary="Ten new recovery codes in place of the old ones",
    responses=refused(NoSecondFactor, *_REFUSALS),
)
async def make_recovery_codes(auth: Composed, owner: Owner, client: FromClient) -> RecoveryCodesOut:
    """Ends the other sessions of the account. The codes are never shown again."""
    made = await auth.recovery.replace(owner.token, owner.identity, auth.shares_of(client))
    return RecoveryCodesOut(**asdict(made))
