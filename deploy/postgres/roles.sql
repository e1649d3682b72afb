-- The two roles and schemas of Login2FA: `auth` and `users`, neither of which can read the other's.
--
-- Run it as an administrator of the cluster (a superuser, or the database's owner with CREATEROLE), connected to
-- Login2FA's own database, as often as you like. `login2fa roles` does that; so does psql, for it is plain SQL in one
-- transaction. The roles' passwords come from two settings, so that they are on no command line. With psql:
--
--     \set auth `cat file-with-the-password`
--     \set users `cat file-with-the-other`
--     SET login2fa.auth_password = :'auth';
--     SET login2fa.users_password = :'users';
--     \i deploy/postgres/roles.sql

BEGIN;
SET LOCAL client_min_messages = warning; -- "already exists, skipping" is what a second run is for

DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(name, ' and ') INTO missing
    FROM unnest(ARRAY['login2fa.auth_password', 'login2fa.users_password']) AS name
    WHERE coalesce(current_setting(name, true), '') = '';
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'Set % before running roles.sql: the password of each role comes from there.', missing;
    END IF;
END
$$;

-- Two replicas that start together would change the same rows of the catalogue: "tuple concurrently updated".
SELECT pg_advisory_xact_lock(hashtext('login2fa.roles'));

DO $$
DECLARE
    service text;
    password text;
BEGIN
    FOREACH service IN ARRAY ARRAY['auth', 'users'] LOOP
        password := current_setting('login2fa.' || service || '_password');
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = service) THEN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', service);
        ELSIF EXISTS (
            SELECT FROM pg_roles
            WHERE rolname = service AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)
        ) THEN
            -- Only when needed: naming these is a superuser's right, whatever their value.
            EXECUTE format(
                'ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', service
            );
        END IF;
        BEGIN
            EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L', service, password);
        EXCEPTION WHEN OTHERS THEN
            -- The original error's context would put the statement, and so the password, into the server's log.
            RAISE EXCEPTION 'The password of role % could not be set: %', service, SQLERRM;
        END;
    END LOOP;
END
$$;

-- An administrator who is no superuser may give a schema only to a role that he is a member of.
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT auth, users TO %I', current_user);
    END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS auth;
CREATE SCHEMA IF NOT EXISTS users;
ALTER SCHEMA auth OWNER TO auth;
ALTER SCHEMA users OWNER TO users;
REVOKE ALL ON SCHEMA auth FROM PUBLIC, users;
REVOKE ALL ON SCHEMA users FROM PUBLIC, auth;

DO $$
DECLARE
    service text;
BEGIN
    IF to_regnamespace('public') IS NOT NULL THEN
        REVOKE ALL ON SCHEMA public FROM PUBLIC, auth, users;
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, auth, users', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO auth, users', current_database());
    FOREACH service IN ARRAY ARRAY['auth', 'users'] LOOP
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = %I', service, current_database(), service);
        -- A process that is frozen, or cut off, in a transaction would keep its locks for ever, and its codes unsent.
        -- Longer than the relay's total time-out: shared/relay.py, Pace.publish_timeout.
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET idle_in_transaction_session_timeout = %L',
            service, current_database(), '20s');
    END LOOP;
END
$$;

COMMIT;
