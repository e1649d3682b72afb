"""An administrator invites an address, and the mailed code registers it with what was promised."""

from __future__ import annotations

from tests.polling import eventually
from tests.stacks.problems import refused
from tests.stacks.stack import Stack
from tests.stacks.steps import admin, bearer, log_in, registration, somebody

REGISTRATION = "/api/v1/users/registration"


async def test_an_invited_person_registers_once_and_has_the_groups_of_the_invitation(stack: Stack) -> None:
    person = somebody()
    invitation = {"email": person.email, "groups": ["staff", "night-shift"]}
    invited = await stack.http.post("/api/v1/users/invitations", json=invitation, headers=await admin(stack))
    assert invited.status_code == 201, invited.text

    code = await stack.inbox.wait_for_account_code(person.email, purpose="invite")
    given = registration(person, invitation_code=code)
    registered = await stack.http.post(REGISTRATION, json=given)

    assert registered.status_code == 201, registered.text
    assert registered.json()["email_verified_at"], "the code has proved the address"
    refused(await stack.http.post(REGISTRATION, json=given), 400, "code_not_valid")
    own = bearer((await log_in(stack, person)).access)

    async def known_at_auth() -> bool:
        seen = (await stack.http.get("/api/v1/auth/forward", headers=own)).headers
        return (seen["x-auth-groups"], seen["x-auth-verified"]) == ("night-shift,staff", "true")

    await eventually(known_at_auth)
