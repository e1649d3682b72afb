"""Refusals of the users service."""

from __future__ import annotations

from collections.abc import Mapping

from shared.web.problems import Problem, TooManyRequests


class UserAlreadyExists(Problem):
    status = 400
    code = "user_already_exists"
    detail = "User already exists"


class RegistrationUnderWay(Problem):
    status = 409
    code = "registration_under_way"
    detail = "A registration with this Idempotency-Key is under way: ask again in a moment"
    headers: Mapping[str, str] = {"Retry-After": "1"}


class IdempotencyKeyUsed(Problem):
    status = 422
    code = "idempotency_key_used"
    detail = "This Idempotency-Key was used for another registration: use a new one"


class UsernameNotOwn(Problem):
    status = 400
    code = "username_not_own"
    detail = "A username in the form of an address must be the account's own address"


class EmailNotValid(Problem):
    status = 400
    code = "email_not_valid"
    detail = "Email not valid"


class PasswordTooWeak(Problem):
    status = 400
    code = "password_too_weak"

    def __init__(self, must_be: str) -> None:
        super().__init__()
        self.detail = f"Password must be {must_be}"


class AccountNotValid(Problem):
    status = 422
    code = "invalid_request"

    def __init__(self, detail: str) -> None:
        super().__init__()
        self.detail = detail


class PasswordsDiffer(Problem):
    status = 400
    code = "passwords_differ"
    detail = "Passwords do not match"


class NothingToChange(Problem):
    status = 400
    code = "nothing_to_change"
    detail = "Name at least one field to change"


class CurrentPasswordWrong(Problem):
    status = 403
    code = "current_password_wrong"
    detail = "Current password missing or wrong"


class CursorNotValid(Problem):
    status = 400
    code = "cursor_not_valid"
    detail = "Cursor not valid: follow the Link header, or leave it out to begin at the first page"


class VersionDiffers(Problem):
    status = 412
    code = "version_differs"
    detail = "The account has changed since you read it: read it again"


class TooManyGuesses(TooManyRequests):
    """Guesses of the current password."""


class TooManyNames(TooManyRequests):
    """Attempts to take a name: each answer reveals whether it is taken."""


class LastAdministrator(Problem):
    status = 409
    code = "last_administrator"
    detail = "This is the last active administrator: make somebody else one first"


class ForceNeeded(LastAdministrator):
    detail = "This is the last active administrator: make somebody else one first, or say --force"


class CodeNotValid(Problem):
    """Wrong, used, expired, somebody else's, or too many were tried: all get the same answer."""

    status = 400
    code = "code_not_valid"
    detail = "Code not valid: look at the latest mail, or ask for another code"


class NothingToProve(Problem):
    status = 409
    code = "nothing_to_prove"
    detail = "The address is proved already"


class VerificationOff(Problem):
    status = 403
    code = "email_verification_off"
    detail = "Addresses are not proved here: EMAIL_VERIFICATION is off"


class RegistrationClosed(Problem):
    status = 403
    code = "registration_closed"
    detail = "Registration is closed: ask whoever runs this service for an account"


class InvitationNeeded(Problem):
    status = 403
    code = "invitation_needed"
    detail = "Registration needs the code of an invitation, in `invitation_code`: ask an administrator for one"


class UsernameTaken(Problem):
    status = 400
    code = "username_taken"
    detail = "Somebody has this username: send the same code again with another `username`"


class SecondFactorStays(Problem):
    status = 403
    code = "second_factor_stays"
    detail = "A second factor is required here: it can not be turned off"
