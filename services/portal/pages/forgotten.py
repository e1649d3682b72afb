"""A forgotten password: a code by mail in the place of it. No page tells whether somebody has the address."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from services.portal import cookies
from services.portal.api import Refused
from services.portal.visit import Visiting
from services.portal.wrong_fields import beside, refuse_different

router = APIRouter()


@router.get("/forgot")
async def forgotten_page(visit: Visiting) -> Response:
    return visit.page("forgot", given={})


@router.post("/forgot")
async def ask_for_code(visit: Visiting) -> Response:
    try:
        started = await visit.api.post("/users/password-reset", email=visit.form.get("email", ""))
    except Refused as refused:
        return visit.again("forgot", beside(visit, refused), given=visit.form)
    visit.keep(cookies.CODE, started["reset_token"])
    return visit.to("/forgot/code", rd=visit.target)


@router.get("/forgot/code")
async def new_password_page(visit: Visiting) -> Response:
    return visit.page("forgot_code", given={}) if visit.cookie(cookies.CODE) else visit.to("/forgot")


@router.post("/forgot/code")
async def set_password(visit: Visiting) -> Response:
    token = visit.cookie(cookies.CODE)
    if token is None:
        return visit.to("/forgot")
    code, password = visit.form.get("code", ""), visit.form.get("password", "")
    try:
        refuse_different(password, visit.form.get("confirm_password", ""))
        await visit.api.post("/users/password-reset/confirm", reset_token=token, code=code, password=password)
    except Refused as refused:
        return visit.again("forgot_code", beside(visit, refused), given=visit.form)
    visit.forget(cookies.CODE)
    visit.say("password_set")
    return visit.to("/login", rd=visit.target)
