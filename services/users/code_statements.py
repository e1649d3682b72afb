"""Statements on codes, as SQL."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from services.users.tables import outbox
from shared.messaging.outbox import INSERT_EVENTS

_OPEN_CODES: Final = """
purpose = CAST(:purpose AS text) AND email_key_hash = CAST(:mailbox AS bytea)
    AND account_id IS NOT DISTINCT FROM CAST(:account AS uuid)
    AND used_at IS NULL AND expires_at > clock_timestamp()
"""

_INSERT: Final = """
WITH event AS ({insert_events})
INSERT INTO users.codes
    (id, purpose, account_id, email_key_hash, client_hash, code_mac, created_at, expires_at)
VALUES (:request, :purpose, :account, :mailbox, :client, :mac, :created_at, :expires_at)
"""
INSERT: Final = text(_INSERT.format(insert_events=INSERT_EVENTS.format(outbox=outbox.fullname)))

_LATEST: Final = """
SELECT id FROM users.codes WHERE {open_codes} AND attempts < CAST(:most AS int) ORDER BY created_at DESC LIMIT 1
"""
LATEST: Final = text(_LATEST.format(open_codes=_OPEN_CODES))

_PROGRESS: Final = """
SELECT attempts, outcome, extract(epoch FROM expires_at - clock_timestamp()) AS life_left FROM users.codes
WHERE {open_codes} ORDER BY created_at DESC LIMIT 1
"""
PROGRESS: Final = text(_PROGRESS.format(open_codes=_OPEN_CODES))

# The lock makes tries of one request wait for each other: no more are compared than it allows.
OPEN: Final = text(
    """
SELECT account_id, email_key_hash FROM users.codes
WHERE id = CAST(:request AS uuid) AND purpose = CAST(:purpose AS text) AND attempts < CAST(:most AS int)
    AND used_at IS NULL AND expires_at > clock_timestamp()
FOR UPDATE
"""
)

# Returns a row if the code is wrong.
_COUNT_IF_WRONG: Final = """
UPDATE users.codes SET attempts = attempts + 1
WHERE id = CAST(:request AS uuid)
    AND NOT EXISTS (SELECT FROM users.codes WHERE {open_codes} AND code_mac = ANY (CAST(:macs AS bytea[])))
RETURNING id
"""
COUNT_IF_WRONG: Final = text(_COUNT_IF_WRONG.format(open_codes=_OPEN_CODES))

INVITATION: Final = text(
    """
SELECT id FROM users.codes
WHERE purpose = 'invite' AND email_key_hash = CAST(:mailbox AS bytea) AND used_at IS NULL
    AND expires_at > clock_timestamp() AND code_mac = ANY (CAST(:macs AS bytea[]))
"""
)

# Ends all of them, and returns the time if one of them fits the code.
_USE: Final = """
WITH ended AS (
    UPDATE users.codes SET used_at = clock_timestamp() WHERE {open_codes} RETURNING code_mac, used_at
)
SELECT used_at FROM ended WHERE code_mac = ANY (CAST(:macs AS bytea[])) LIMIT 1
"""
USE: Final = text(_USE.format(open_codes=_OPEN_CODES))
