"""The beginning of /docs: a login in five steps, which token goes where, and what all routes have in common."""

from __future__ import annotations

from typing import Final

INTRODUCTION: Final = """\
Accounts, and logins with two factors. All routes are at one address: the one that serves this document.

## A login in five steps

1. **Register**, once: `POST /api/v1/users/registration`, with `"is_2fa": true` for a code by mail at each login.
2. **Password**: `POST /api/v1/auth/token` with `username` and `password`. Look at `otp_required` of the answer.
   `false`: you have an `access_token` and a `refresh_token`, go on with step 4. `true`: you have a `temporary_token`,
   and a code is on its way by mail.
3. **Code**: `POST /api/v1/auth/verify-otp` with the `otp` of the mail, and the `temporary_token` in the header
   `Authorization: Bearer ...`. The answer has the `access_token` and the `refresh_token`. If `methods` in step 2
   names stronger factors, there is a `verify-...` route for each.
4. **Use it**: send the `access_token` as `Authorization: Bearer ...` with each request, such as
   `GET /api/v1/users/me`.
5. **Stay logged in**: when it expires, swap the `refresh_token` at `POST /api/v1/auth/refresh-token`; each is good
   for one swap. `POST /api/v1/auth/logout` ends the session.

To try this on this page, press **Authorize**: in step 3 put the `temporary_token` into the field `temporary_token`,
in step 4 the `access_token` into the field `access_token`. Both can stay there: each route takes the one that it
names.

## What all routes have in common

- Bodies are JSON. `POST /api/v1/auth/token` also takes its fields as a form, `application/x-www-form-urlencoded`
  (RFC 6749); the document names the JSON alone, so that generators of clients cope with it.
- A refusal is a problem document (RFC 9457). Programs go by `code`; each answer below lists its own. A later version
  may add a code: go by the status then. `detail` is a sentence for people.
- Every answer has an `X-Request-ID`, which the logs have too. 429 and 503 have `Retry-After`, in seconds.
- An account has an `ETag`: send it back as `If-Match` to change only what you have read. The next page of a list is
  in `Link`.
"""
