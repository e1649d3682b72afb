"""Gives the tests beside it: login2fa, login2fa_inbox, logged_in_client, admin_client."""

pytest_plugins = ["login2fa_testing.fixtures"]
