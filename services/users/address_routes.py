"""HTTP API of proving an address, one's own or for an administrator somebody's."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Response

from services.users import addresses, invitations
from services.users.account_routes import BY_ID, PREFIX, SHOWN, AccountId, shown
from services.users.callers import Composed, KnownCaller
from services.users.invitations import NewInvitation
from services.users.problems import (
    CodeNotValid,
    EmailNotValid,
    NothingToProve,
    RegistrationClosed,
    UserAlreadyExists,
    VerificationOff,
)
from services.users.schemas import AccountOut, CodeIn, CodeSentOut, InvitationIn, InvitationOut, ProofOut
from shared.web.bearer import LoginTooOld, NotPermitted, SecondFactorRequired
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import refused
from shared.web.problems import ItemNotFound, TooManyRequests

router = APIRouter(prefix=PREFIX, route_class=ShallowJsonRoute)


@router.post(
    "/verify-email/send",
    status_code=202,
    summary="Mail a code to the address that is not proved yet",
    responses=refused(NothingToProve, VerificationOff, TooManyRequests),
)
async def send_address_code(users: Composed, known: KnownCaller) -> CodeSentOut:
    return CodeSentOut(expires_in=await addresses.send_code(users, known))


@router.get("/verify-email", summary="Has the code been delivered?", responses=refused(NothingToProve))
async def address_proof(users: Composed, known: KnownCaller) -> ProofOut:
    return ProofOut(**asdict(await addresses.progress(users, known)))


@router.post(
    "/verify-email",
    summary="Prove one's address with the mailed code; a pending address takes its place",
    responses=SHOWN | refused(CodeNotValid, NothingToProve, UserAlreadyExists, TooManyRequests),
)
async def verify_email(users: Composed, known: KnownCaller, given: CodeIn, response: Response) -> AccountOut:
    return shown(await addresses.confirm(users, known, given.code), response)


@router.delete("/pending-email", summary="Keep the address: the pending one is forgotten", responses=SHOWN)
async def forget_pending_email(users: Composed, known: KnownCaller, response: Response) -> AccountOut:
    return shown(await addresses.forget_pending(users, known), response)


@router.post(
    f"{BY_ID}/verify-email",
    summary="Vouch for somebody's address",
    responses=SHOWN | refused(NotPermitted, SecondFactorRequired, LoginTooOld, ItemNotFound),
)
async def vouch_for_address(users: Composed, known: KnownCaller, user_id: AccountId, response: Response) -> AccountOut:
    return shown(await addresses.vouch(users, known, user_id), response)


@router.post(
    "/invitations",
    status_code=201,
    summary="Invite an address; it takes the place of an earlier invitation",
    responses=refused(
        EmailNotValid,
        UserAlreadyExists,
        RegistrationClosed,
        NotPermitted,
        SecondFactorRequired,
        LoginTooOld,
        TooManyRequests,
    ),
)
async def invite(users: Composed, known: KnownCaller, given: InvitationIn) -> InvitationOut:
    """Its code registers the account, which gets these groups and rights."""
    new = NewInvitation(email=given.email, is_admin=given.is_admin, groups=given.groups)
    return InvitationOut(email=given.email, expires_at=await invitations.invite(users, known, new))
