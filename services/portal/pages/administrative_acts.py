"""Acts of an administrator on an account, with one button each. Each act has a page that says what will happen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.portal.administrator import administrator
from services.portal.api import Refused
from services.portal.member import Member
from services.portal.pages.administered import ACCOUNT, etag
from services.portal.pages.administration import ACCOUNTS
from services.portal.visit import Visit, Visiting
from services.portal.wrong_fields import beside

router = APIRouter()

ActName = Literal["vouch", "password", "unlock", "factors", "sessions", "delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """`notice`: said after it. `ends_sessions`: all of the account, the administrator's too if it is their own."""

    method: str
    path: str
    notice: str
    ends_sessions: bool = False


_ACTS: Final[dict[ActName, _Act]] = {
    "vouch": _Act(method="POST", path="/users/{}/verify-email", notice="vouched"),
    "password": _Act(method="POST", path="/users/{}/password-reset", notice="reset_started"),
    "unlock": _Act(method="POST", path="/auth/accounts/{}/unlock", notice="unlocked"),
    "factors": _Act(method="POST", path="/auth/accounts/{}/factors/reset", notice="factors_reset", ends_sessions=True),
    "sessions": _Act(
        method="DELETE", path="/auth/accounts/{}/sessions", notice="all_sessions_ended", ends_sessions=True
    ),
    "delete": _Act(method="DELETE", path="/users/{}", notice="account_deleted", ends_sessions=True),
}


@router.get(f"{ACCOUNT}/{{act}}")
async def confirm_page(visit: Visiting, account: UUID, act: ActName) -> Response:
    return visit.page("admin_confirm", **await _asked(visit, await administrator(visit), account, act))


@router.post(f"{ACCOUNT}/{{act}}")
async def act_on_account(visit: Visiting, account: UUID, act: ActName) -> Response:
    own, done = await administrator(visit), _ACTS[act]
    # Only the account as the page before showed it is deleted.
    headers = {"If-Match": etag(visit)} if act == "delete" else {}
    try:
        answer = await visit.api.ask(done.method, done.path.format(account), own.token, headers=headers)
    except Refused as refused:
        return visit.again("admin_confirm", beside(visit, refused), **await _asked(visit, own, account, act))
    one_factor = act == "factors" and not answer["second_factor"]
    visit.say("factors_reset_one_factor" if one_factor else done.notice)
    if done.ends_sessions and str(account) == own.account["id"]:
        return visit.to("/login")
    return visit.to(ACCOUNTS if act == "delete" else f"{ACCOUNTS}/{account}")


async def _asked(visit: Visit, own: Member, account: UUID, act: ActName) -> dict[str, Any]:
    answer = await visit.api.read(f"/users/{account}", own.token)
    person = answer.json()
    is_own = person["id"] == own.account["id"]
    return {"account": own.account, "act": act, "person": person, "etag": answer.headers["etag"], "is_own": is_own}
