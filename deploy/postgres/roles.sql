-- The roles and schemas of Login2FA. `auth` and `users` run: each reads and writes the rows of its own schema, and can
-- do nothing else. `migrator` owns both schemas and all that is in them, and logs in for migrations alone.
--
-- Run it as an administrator of the cluster (a superuser, or the database's owner with CREATEROLE), connected to
-- Login2FA's own database, as often as you like. `login2fa roles` does that; so does psql, for it is plain SQL in one
-- transaction. The roles' passwords come from settings, so that they are on no command line. With psql:
--
--     \set auth `cat file-with-the-password-of-auth`
--     \set users `cat file-with-the-password-of-users`
--     \set migrator `cat file-with-the-password-of-migrator`
--     SET login2fa.auth_password = :'auth';
--     SET login2fa.users_password = :'users';
--     SET login2fa.migrator_password = :'migrator';
--     \i deploy/postgres/roles.sql

BEGIN;
SET LOCAL client_min_messages = warning; -- "already exists, skipping" is what a second run is for

DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(name, ' and ') INTO missing
    FROM unnest(ARRAY['login2fa.auth_password', 'login2fa.users_password', 'login2fa.migrator_password']) AS name
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
    role text;
    password text;
BEGIN
    FOREACH role IN ARRAY ARRAY['auth', 'users', 'migrator'] LOOP
        password := current_setting('login2fa.' || role || '_password');
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', role);
        ELSIF EXISTS (
            SELECT FROM pg_roles
            WHERE rolname = role AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)
        ) THEN
            -- Only when needed: naming these is a superuser's right, whatever their value.
            EXECUTE format(
                'ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', role
            );
        END IF;
        BEGIN
            EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L', role, password);
        EXCEPTION WHEN OTHERS THEN
            -- The original error's context would put the statement, and so the password, into the server's log.
            RAISE EXCEPTION 'The password of role % could not be set: %', role, SQLERRM;
        END;
    END LOOP;
END
$$;

-- An administrator who is no superuser may give a schema only to a role that he is a member of.
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT auth, users, migrator TO %I', current_user);
    END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS auth;
CREATE SCHEMA IF NOT EXISTS users;
ALTER SCHEMA auth OWNER TO migrator;
ALTER SCHEMA users OWNER TO migrator;
-- A database whose tables the two roles made themselves.
REASSIGN OWNED BY auth, users TO migrator;

DO $$
DECLARE
    service text;
BEGIN
    IF to_regnamespace('public') IS NOT NULL THEN
        REVOKE ALL ON SCHEMA public FROM PUBLIC, auth, users, migrator;
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, auth, users, migrator', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO auth, users, migrator', current_database());
    FOREACH service IN ARRAY ARRAY['auth', 'users'] LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC, auth, users', service);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM PUBLIC, auth, users', service);
        EXECUTE format('GRANT USAGE ON SCHEMA %1$I TO %1$I', service);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %1$I TO %1$I', service);
        -- What a later migration makes.
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE migrator IN SCHEMA %1$I'
            ' GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %1$I', service);
        -- Which migrations were run is for migrations to say: shared/database/migrations.py does the same to a new one.
        IF to_regclass(format('%I.alembic_version', service)) IS NOT NULL THEN
            EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %1$I.alembic_version FROM %1$I', service);
        END IF;
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = %I', service, current_database(), service);
        -- A process that is frozen, or cut off, in a transaction would keep its locks for ever, and its codes unsent.
        -- Longer than the relay's total time-out: shared/messaging/relay.py, Pace.publish_timeout.
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET idle_in_transaction_session_timeout = %L',
            service, current_database(), '20s');
    END LOOP;
END
$$;

-- Everybody may connect to a new database, so our roles could too. The cluster's own two are closed here; another one
-- may be a stranger's, who would be shut out with us: the administrator is told what to run.
DO $$
DECLARE
    other record;
    open_to_us text[] := '{}';
BEGIN
    FOR other IN
        SELECT datname, pg_has_role(current_user, datdba, 'USAGE') AS ours
        FROM pg_database WHERE datallowconn AND datname <> current_database() AND EXISTS (
            SELECT FROM unnest(ARRAY['auth', 'users', 'migrator']) AS role
            WHERE has_database_privilege(role, pg_database.oid, 'CONNECT, TEMPORARY')
        )
        ORDER BY datname
    LOOP
        IF other.ours AND other.datname IN ('postgres', 'template1') THEN
            EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC, auth, users, migrator', other.datname);
        ELSE
            open_to_us := open_to_us || other.datname::text;
        END IF;
    END LOOP;
    IF open_to_us <> '{}' THEN
        RAISE WARNING 'Login2FA''s roles may connect to other databases of this server: %. Close them, as their owner, to'
            ' all who have no right of their own: %',
            array_to_string(open_to_us, ', '),
            (SELECT string_agg(format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC;', name), ' ')
                FROM unnest(open_to_us) AS name);
    END IF;
END
$$;

COMMIT;
