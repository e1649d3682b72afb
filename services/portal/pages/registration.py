"""Make an account, as far as REGISTRATION lets strangers: at once, by a mailed code, or by an invitation."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter
from starlette.responses import Response

from services.portal import cookies, under_way
from services.portal.api import Refused
from services.portal.completed import complete
from services.portal.visit import Visit, Visiting
from services.portal.wrong_fields import beside, refuse_different

router = APIRouter()

_FIELDS = ("email", "username", "name", "lastname", "password")


@router.get("/register")
async def register_page(visit: Visiting) -> Response:
    return visit.page("register", **await _form(visit))


@router.post("/register")
async def register(visit: Visiting) -> Response:
    form = await _form(visit)
    try:
        made = await _registered(visit, form["key"])
    except Refused as refused:
        return visit.again("register", beside(visit, refused, code="invitation_code"), **form)
    if "registration_token" in made:
        visit.keep(cookies.CODE, made["registration_token"])
        return visit.to("/register/code", rd=visit.target)
    return await _logged_in(visit, proves_first=form["rules"]["email_verification"] == "required")


@router.get("/register/code")
async def registration_code_page(visit: Visiting) -> Response:
    return visit.page("register_code", given={}) if visit.cookie(cookies.CODE) else visit.to("/register")


@router.post("/register/code")
async def confirm_registration(visit: Visiting) -> Response:
    """A username that is taken leaves the code good: the page then asks for another one."""
    token = visit.cookie(cookies.CODE)
    if token is None:
        return visit.to("/register")
    username = {"username": visit.form["username"]} if "username" in visit.form else {}
    try:
        await visit.api.post(
            "/users/registration/confirm", registration_token=token, code=visit.form.get("code", ""), **username
        )
    except Refused as refused:
        return visit.again("register_code", beside(visit, refused), given=visit.form)
    visit.forget(cookies.CODE)
    visit.say("registered")
    return visit.to("/login", rd=visit.target)


async def _form(visit: Visit) -> dict[str, Any]:
    """Context of the page. With its `key` a form that is sent twice makes one account, and is answered alike."""
    rules = await visit.api.get("/users/registration")
    invited = rules["registration"] == "invited" or "invited" in visit.request.query_params
    invited = invited or "invitation_code" in visit.form
    try:
        key = UUID(visit.form["key"])
    except (KeyError, ValueError):
        key = uuid4()
    return {"rules": rules, "invited": invited, "key": str(key), "given": visit.form}


async def _registered(visit: Visit, key: str) -> Any:
    """The account, or the token that goes with a code. Raises `Refused`."""
    given: dict[str, Any] = {name: visit.form.get(name, "") for name in _FIELDS}
    refuse_different(given["password"], visit.form.get("confirm_password", ""))
    given["is_2fa"] = bool(visit.form.get("is_2fa"))
    if "invitation_code" in visit.form:
        given["invitation_code"] = visit.form["invitation_code"]
    return await visit.api.ask("POST", "/users/registration", json=given, headers={"Idempotency-Key": key})


async def _logged_in(visit: Visit, *, proves_first: bool) -> Response:
    """With what was just typed. `proves_first`: without a proved address no gateway lets the account pass."""
    try:
        answer = await visit.api.post("/auth/token", username=visit.form["username"], password=visit.form["password"])
        if answer["otp_required"]:  # by mail: that proves the address
            under_way.begin(visit, answer["temporary_token"])
            return visit.to("/login/verify", rd=visit.target)
        visit.say("welcome")
        response = await complete(visit, answer, keep=False)
    except Refused:  # auth does not know the account yet
        visit.say("registered")
        return visit.to("/login", rd=visit.target)
    return visit.to("/account/address", rd=visit.target) if proves_first else response
