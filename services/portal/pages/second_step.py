"""The second step of a login, or that of a step-up: one page for each method, and the temporary token in a cookie.

The query holds what the pages hand on: `method`; `rd`; `again`, for a step-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from services.portal import cookies, under_way
from services.portal.api import Refused
from services.portal.completed import complete
from services.portal.passkey_answers import answered
from services.portal.visit import HOME, Visit, Visiting

router = APIRouter()

# The endpoint and the field of each method but passkeys.
_PROOFS: Final = {
    "totp": ("/auth/verify-totp", "otp"),
    "email": ("/auth/verify-otp", "otp"),
    "recovery": ("/auth/verify-recovery", "code"),
    "password": ("/auth/verify-password", "password"),
}
# Without a script a page that waits for a delivery looks so often by itself; each look would lose what is being typed.
_LOOKS: Final = 6


@router.get("/login/verify")
async def second_step_page(visit: Visiting) -> Response:
    try:
        return await _page(visit)
    except Refused as refused:
        return _over(visit, refused)


@router.post("/login/verify")
async def verify(visit: Visiting) -> Response:
    try:
        pair = await _prove(visit)
    except Refused as refused:
        return await _refused(visit, refused)
    return await complete(visit, pair, keep=under_way.is_to_be_kept(visit) or None)


@router.post("/login/verify/passkey")
async def passkey_options(visit: Visiting) -> Response:
    try:
        return visit.data(await visit.api.post("/auth/challenge/passkey", under_way.temporary_token(visit)))
    except Refused as refused:
        raise _told(refused) from None


@router.post("/login/verify/email")
async def send_code(visit: Visiting) -> Response:
    try:
        await visit.api.post("/auth/challenge/email", under_way.temporary_token(visit))
    except Refused as refused:
        return await _refused(visit, refused)
    return visit.to("/login/verify", **_handed_on(visit, "email"))


@router.get("/login/verify/status")
async def status(visit: Visiting) -> Response:
    """For `static/status.js`: what has become of the mailed code, as a sentence."""
    return visit.data(await _delivery(visit))


@dataclass(frozen=True, slots=True)
class _Challenge:
    """As the API tells it."""

    told: Mapping[str, Any]
    asked: str

    @property
    def method(self) -> str:
        """That which was asked for, or the strongest one."""
        offered: list[str] = self.told["methods"]
        return self.asked if self.asked in offered else offered[0]

    @property
    def time_left(self) -> str:
        minutes, seconds = divmod(int(self.told["expires_in"]), 60)
        return f"{minutes}:{seconds:02}"


async def _page(visit: Visit, refused: Refused | None = None) -> Response:
    """Raises `Refused` if the challenge is over."""
    told = await visit.api.get("/auth/challenge", under_way.temporary_token(visit))
    challenge = _Challenge(told, _asked(visit, "method"))
    method = challenge.method
    waits = method == "email" and told["sent"] and told["status"] == "pending" and refused is None
    shown = {
        "challenge": told,
        "method": method,
        "step": _handed_on(visit, method),
        "time_left": challenge.time_left,
        "looks": _looks(visit) if waits else 0,
        "waits": waits,
    }
    return visit.page("verify", **shown) if refused is None else visit.again("verify", refused, **shown)


async def _prove(visit: Visit) -> Mapping[str, Any]:
    """Raises `Refused`."""
    token, method = under_way.temporary_token(visit), _asked(visit, "method")
    remember = {} if method == "password" else {"remember_device": bool(visit.form.get("remember"))}
    if method == "passkey":
        path, proof = "/auth/verify-passkey", answered(visit.form)
    elif method in _PROOFS:
        path, name = _PROOFS[method]
        proof = {name: visit.form.get(name, "")}
    else:
        raise Refused(409, "method_not_offered", "")
    pair: Mapping[str, Any] = await visit.api.post(path, token, **proof, **remember)
    return pair


async def _refused(visit: Visit, refused: Refused) -> Response:
    """The page again, or the login if this was the last attempt."""
    if refused.code == "invalid_token":
        return _over(visit, refused)
    try:
        return await _page(visit, refused)
    except Refused as over:
        return _over(visit, over, spent=True)


def _over(visit: Visit, refused: Refused, *, spent: bool = False) -> Response:
    """From the beginning. Raises `refused` if it is something else."""
    if refused.code != "invalid_token":
        raise refused
    visit.forget(cookies.LOGIN)
    visit.say("login_spent" if spent else "login_over")
    return visit.to("/login", rd=visit.target)


async def _delivery(visit: Visit) -> dict[str, Any]:
    text = partial(visit.portal.pages.text, visit.language)
    try:
        challenge = await visit.api.get("/auth/challenge", under_way.temporary_token(visit))
    except Refused as refused:
        if refused.code != "invalid_token":
            raise
        return {"text": text("error.login_over"), "over": True}
    told = text(f"verify.{challenge['status']}", address=challenge["email_hint"])
    return {"text": told, "over": challenge["status"] != "pending"}


def _told(refused: Refused) -> Refused:
    """For a script, which can show a sentence and lead nowhere."""
    return Refused(410, "login_over", "") if refused.code == "invalid_token" else refused


def _handed_on(visit: Visit, method: str) -> dict[str, str]:
    again = {"again": "1"} if _asked(visit, "again") else {}
    return {"method": method, **again} | ({} if visit.target == HOME else {"rd": visit.target})


def _looks(visit: Visit) -> int:
    asked = _asked(visit, "looks")
    return int(asked) if asked in map(str, range(_LOOKS)) else _LOOKS


def _asked(visit: Visit, name: str) -> str:
    return visit.request.query_params.get(name, "")
