"""What an administrator does to an account with one button. Each act has a page that says what will happen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from starlette.responses import Response

from services.portal.administrator import Administrator, administrator
from services.portal.api import Refused
from services.portal.pages.administered import etag
from services.portal.visit import Visit, Visiting

router = APIRouter()


@dataclass(frozen=True, slots=True)
class _Act:
    """`ends_sessions`: all of the account, so also the administrator's own if it is theirs."""

    method: str
    path: str
    ends_sessions: bool = False


_ACTS: Final = {
    "verify-email": _Act("POST", "/users/{}/verify-email"),
    "password-reset": _Act("POST", "/users/{}/password-reset"),
    "unlock": _Act("POST", "/auth/accounts/{}/unlock"),
    "reset-factors": _Act("POST", "/auth/accounts/{}/factors/reset", ends_sessions=True),
    "end-sessions": _Act("DELETE", "/auth/accounts/{}/sessions", ends_sessions=True),
    "delete": _Act("DELETE", "/users/{}", ends_sessions=True),
}
ActName = Annotated[
    Literal["verify-email", "password-reset", "unlock", "reset-factors", "end-sessions", "delete"], Path()
]


@router.get("/admin/accounts/{account}/{act}")
async def confirm_page(visit: Visiting, account: UUID, act: ActName) -> Response:
    return visit.page("admin_confirm", **await _asked(visit, await administrator(visit), account, act))


@router.post("/admin/accounts/{account}/{act}")
async def act_on_account(visit: Visiting, account: UUID, act: ActName) -> Response:
    admin = await administrator(visit)
    done = _ACTS[act]
    # Whoever confirms a deletion has seen the account as it was then.
    headers = {"If-Match": etag(visit)} if act == "delete" else {}
    try:
        answer = await visit.api.ask(done.method, done.path.format(account), admin.token, headers=headers)
    except Refused as refused:
        return visit.again("admin_confirm", refused, **await _asked(visit, admin, account, act))
    visit.say(_notice(act, answer))
    if done.ends_sessions and str(account) == admin.id:
        return visit.to("/login")
    return visit.to("/admin/accounts" if act == "delete" else f"/admin/accounts/{account}")


def _notice(act: str, answer: Any) -> str:
    if act == "reset-factors" and not answer["second_factor"]:
        return "factors_reset_one_factor"
    return f"done_{act}"


async def _asked(visit: Visit, admin: Administrator, account: UUID, act: str) -> dict[str, Any]:
    answer = await visit.api.read(f"/users/{account}", admin.token)
    found = answer.json()
    return {"act": act, "account": found, "etag": answer.headers["etag"], "is_own": found["id"] == admin.id}
