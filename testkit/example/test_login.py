"""What the end-to-end tests of a service that uses Login2FA begin with."""

from __future__ import annotations

import httpx

from login2fa_testing import AuthenticatorApp, Inbox, LoginSystem


def test_a_login_with_two_factors_by_hand(login2fa: LoginSystem, login2fa_inbox: Inbox) -> None:
    ann = login2fa.register(is_2fa=True)
    client = login2fa.client()

    first = client.post("/auth/token", data={"username": ann.username, "password": ann.password}).json()
    assert "access_token" not in first
    code = login2fa_inbox.wait_for_code(ann.email)
    temporary = {"authorization": f"Bearer {first['temporary_token']}"}
    pair = client.post("/auth/verify-otp", json={"otp": code}, headers=temporary).json()

    bearer = {"authorization": f"Bearer {pair['access_token']}"}
    assert client.get("/users/me", headers=bearer).json()["email"] == ann.email


def test_a_login_with_an_authenticator_app(login2fa: LoginSystem) -> None:
    ann = login2fa.register()
    app = AuthenticatorApp.enrol(login2fa.logged_in(ann))

    tokens = login2fa.log_in(ann, factor=app)

    assert login2fa.client(tokens).get("/users/me").json()["email"] == ann.email


def test_a_login_with_a_passkey_and_no_password(login2fa: LoginSystem) -> None:
    ann = login2fa.register()
    passkey = login2fa.passkey()
    passkey.register(login2fa.logged_in(ann))

    tokens = passkey.log_in(login2fa.client())

    assert login2fa.client(tokens).get("/users/me").json()["email"] == ann.email


def test_somebody_is_logged_in_already(logged_in_client: httpx.Client) -> None:
    me = logged_in_client.get("/users/me").json()

    assert (me["is_2fa"], me["is_admin"]) == (False, False)


def test_an_administrator_lists_accounts(login2fa: LoginSystem, admin_client: httpx.Client) -> None:
    ann = login2fa.register()

    assert admin_client.get(f"/users/{ann.id}").json()["email"] == ann.email
    listed = admin_client.get("/users/", params={"email": ann.email}).json()
    assert [account["id"] for account in listed] == [ann.id]
