"""Statements that reserve and release slots under the limits on wrong passwords (services.auth.login.attempts).

Each locks in this order, to avoid deadlocks: by network, by name and address, by name. Slots whose lease of a minute is
over belong to a process that died. `failed_at` has the newest failure first. `network` is NULL if it has no limit.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from services.auth.accounts.read_model import OF_NAME
from services.auth.tables import outbox
from shared.messaging.outbox import INSERT_EVENTS

_ACTIVE: Final = "CASE WHEN old.in_flight_until > now() THEN old.in_flight ELSE 0 END"

# An hourly limit has room if the oldest of the last `per_hour - active` failures is older than an hour.
_RESERVE: Final = """
WITH familiar AS (
    SELECT FROM auth.familiar_addresses JOIN auth.identities ON identities.id = account_id
    WHERE username_key = CAST(:username_key AS text) AND NOT deleted
        AND address_hash = ANY (CAST(:network_hashes AS bytea[]))
        AND last_at > now() - CAST(:familiar_lifetime AS interval)
), by_network AS (
    INSERT INTO auth.address_failures AS old (address_hash, failed_at, in_flight, in_flight_until)
    SELECT CAST(:network AS bytea), CAST(ARRAY[] AS timestamptz[]), 1, now() + interval '1 minute'
    WHERE :network IS NOT NULL
    ON CONFLICT (address_hash) DO UPDATE SET
        in_flight = {active} + 1, in_flight_until = now() + interval '1 minute'
    WHERE {active} < CAST(:network_per_hour AS int)
        AND coalesce(old.failed_at[:network_per_hour - {active}] <= now() - interval '1 hour', true)
        OR EXISTS (SELECT FROM familiar)
    RETURNING in_flight
), by_address AS (
    INSERT INTO auth.login_failures AS old (name_hash, address, failures, in_flight, in_flight_until)
    SELECT CAST(:name_hash AS bytea), CAST(:address AS text), 0, 1, now() + interval '1 minute'
    WHERE :network IS NULL OR EXISTS (SELECT FROM by_network)
    ON CONFLICT (name_hash, address) DO UPDATE SET
        in_flight = {active} + 1, in_flight_until = now() + interval '1 minute'
    WHERE coalesce(old.wait_until <= now(), true) AND {active} < greatest(CAST(:free AS bigint) - old.failures, 1)
    RETURNING in_flight
), by_name AS (
    INSERT INTO auth.name_failures AS old (name_hash, failed_at, in_flight, in_flight_until)
    SELECT :name_hash, CAST(ARRAY[] AS timestamptz[]), 1, now() + interval '1 minute'
    WHERE EXISTS (SELECT FROM by_address)
    ON CONFLICT (name_hash) DO UPDATE SET
        in_flight = {active} + 1, in_flight_until = now() + interval '1 minute'
    WHERE {active} < CAST(:name_per_hour AS int)
        AND coalesce(old.failed_at[:name_per_hour - {active}] <= now() - interval '1 hour', true)
        OR EXISTS (SELECT FROM familiar)
    RETURNING in_flight
)
SELECT slots.*, identity.*
FROM (
    SELECT :network IS NULL OR EXISTS (SELECT FROM by_network) AS by_network,
        EXISTS (SELECT FROM by_address) AS by_address,
        EXISTS (SELECT FROM by_name) AS by_name
) AS slots LEFT JOIN ({of_name}) AS identity ON true
"""
RESERVE: Final = text(_RESERVE.format(of_name=OF_NAME, active=_ACTIVE))

# Turns all slots into failures. `clock_timestamp()`: under the row lock these are in order, which `now()` is not.
_RECORD_FAILURE: Final = """
WITH event AS ({insert_events}), by_network AS (
    INSERT INTO auth.address_failures AS old (address_hash, failed_at)
    SELECT CAST(:network AS bytea), ARRAY[clock_timestamp()]
    WHERE :network IS NOT NULL
    ON CONFLICT (address_hash) DO UPDATE SET
        failed_at = clock_timestamp() || old.failed_at[1:CAST(:network_per_hour AS int) - 1],
        last_at = now(), in_flight = greatest(old.in_flight - 1, 0)
    RETURNING in_flight
), by_address AS (
    INSERT INTO auth.login_failures AS old (name_hash, address, failures, wait_until)
    SELECT CAST(:name_hash AS bytea), CAST(:address AS text), 1,
        CASE WHEN CAST(:free AS bigint) <= 1 THEN now() + CAST(:first_wait AS float8) * interval '1 second' END
    WHERE :network IS NULL OR EXISTS (SELECT FROM by_network)
    ON CONFLICT (name_hash, address) DO UPDATE SET
        failures = old.failures + 1,
        wait_until = CASE WHEN old.failures + 1 >= :free THEN now() + interval '1 second' * least(
            :first_wait * power(2, least(old.failures + 1 - :free, 30)), CAST(:longest_wait AS float8)
        ) END,
        last_at = now(), in_flight = greatest(old.in_flight - 1, 0)
    RETURNING wait_until IS NOT NULL AS waits
), by_name AS (
    INSERT INTO auth.name_failures AS old (name_hash, failed_at)
    SELECT :name_hash, ARRAY[clock_timestamp()]
    WHERE EXISTS (SELECT FROM by_address)
    ON CONFLICT (name_hash) DO UPDATE SET
        failed_at = clock_timestamp() || old.failed_at[1:CAST(:name_per_hour AS int) - 1],
        last_at = now(), in_flight = greatest(old.in_flight - 1, 0)
    RETURNING coalesce(failed_at[:name_per_hour] > now() - interval '1 hour', false) AS no_room
)
SELECT waits OR no_room AS limit_reached FROM by_address, by_name
"""
RECORD_FAILURE: Final = text(_RECORD_FAILURE.format(insert_events=INSERT_EVENTS.format(outbox=outbox.fullname)))

# Deletes a row that holds nothing any more. Locks first: two releases at once would each see the other's slot.
# The counts are always true; they make Postgres lock in our order.
RELEASE: Final = text(
    """
WITH by_network AS (
    SELECT in_flight <= 1 AND cardinality(failed_at) = 0 AS is_last FROM auth.address_failures
    WHERE address_hash = CAST(:network AS bytea)
    FOR UPDATE
), by_address AS (
    SELECT in_flight <= 1 AND (CAST(:success AS bool) OR failures = 0) AS is_last FROM auth.login_failures
    WHERE name_hash = CAST(:name_hash AS bytea) AND address = CAST(:address AS text)
        AND CAST(:by_address AS bool) AND (SELECT count(*) FROM by_network) >= 0
    FOR UPDATE
), by_name AS (
    SELECT in_flight <= 1 AND cardinality(failed_at) = 0 AS is_last FROM auth.name_failures
    WHERE name_hash = :name_hash
        AND CAST(:by_name AS bool) AND (SELECT count(*) FROM by_address) >= 0
    FOR UPDATE
), network_deleted AS (
    DELETE FROM auth.address_failures
    WHERE address_hash = :network AND (SELECT is_last FROM by_network)
), network_released AS (
    UPDATE auth.address_failures SET in_flight = greatest(in_flight - 1, 0)
    WHERE address_hash = :network AND NOT (SELECT is_last FROM by_network)
), address_deleted AS (
    DELETE FROM auth.login_failures
    WHERE name_hash = :name_hash AND address = :address AND (SELECT is_last FROM by_address)
), address_released AS (
    UPDATE auth.login_failures SET
        in_flight = greatest(in_flight - 1, 0),
        failures = CASE WHEN :success THEN 0 ELSE failures END,
        wait_until = CASE WHEN :success THEN NULL ELSE wait_until END
    WHERE name_hash = :name_hash AND address = :address AND NOT (SELECT is_last FROM by_address)
), name_deleted AS (
    DELETE FROM auth.name_failures
    WHERE name_hash = :name_hash AND (SELECT is_last FROM by_name)
), name_released AS (
    UPDATE auth.name_failures SET in_flight = greatest(in_flight - 1, 0)
    WHERE name_hash = :name_hash AND NOT (SELECT is_last FROM by_name)
)
SELECT
"""
)

# Seconds until failures no longer refuse; NULL or negative if they do not now.
RETRY_AFTER: Final = text(
    """
SELECT extract(epoch FROM CASE
    WHEN NOT CAST(:by_network AS bool) THEN (
        SELECT failed_at[CAST(:network_per_hour AS int)] + interval '1 hour' FROM auth.address_failures
        WHERE address_hash = CAST(:network AS bytea)
    )
    WHEN CAST(:by_address AS bool) THEN (
        SELECT failed_at[CAST(:name_per_hour AS int)] + interval '1 hour' FROM auth.name_failures
        WHERE name_hash = CAST(:name_hash AS bytea)
    )
    ELSE (
        SELECT wait_until FROM auth.login_failures
        WHERE name_hash = :name_hash AND address = CAST(:address AS text)
    )
END - now())
"""
)
