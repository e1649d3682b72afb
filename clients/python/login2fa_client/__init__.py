"""A client of Login2FA: `Login2FA` and `AsyncLogin2FA` log in, `AccessTokens` checks the tokens of others."""

from login2fa_client.answers import LoggedIn, SecondFactorNeeded
from login2fa_client.api import AsyncLogin2FA, Login2FA
from login2fa_client.demands import Demands, InsufficientAuthentication
from login2fa_client.errors import LoggedOut, Login2FAError, TokenInvalid, Unavailable
from login2fa_client.tokens import AccessToken, AccessTokens

__all__ = (
    "AccessToken",
    "AccessTokens",
    "AsyncLogin2FA",
    "Demands",
    "InsufficientAuthentication",
    "LoggedIn",
    "LoggedOut",
    "Login2FA",
    "Login2FAError",
    "SecondFactorNeeded",
    "TokenInvalid",
    "Unavailable",
)
