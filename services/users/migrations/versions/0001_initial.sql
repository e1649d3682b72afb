-- Schema `users` of 1.0.0.

CREATE TABLE users.accounts (
    id UUID NOT NULL,
    version BIGINT DEFAULT '1' NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    username TEXT NOT NULL,
    username_key TEXT NOT NULL,
    name TEXT NOT NULL,
    lastname TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    is_2fa BOOLEAN NOT NULL,
    is_admin BOOLEAN DEFAULT false NOT NULL,
    is_active BOOLEAN DEFAULT true NOT NULL,
    email_verified_at TIMESTAMP WITH TIME ZONE,
    pending_email TEXT,
    groups TEXT[] DEFAULT '{}' NOT NULL,
    password_by_mail BOOLEAN DEFAULT false NOT NULL,
    session_epoch BIGINT DEFAULT '0' NOT NULL,
    kept_session UUID,
    factors TEXT[] DEFAULT '{}' NOT NULL,
    factors_version BIGINT DEFAULT '0' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    modified_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (email_key),
    UNIQUE (username_key)
);
CREATE INDEX ix_accounts_administrators ON users.accounts (id) WHERE is_admin;
CREATE INDEX ix_accounts_factors ON users.accounts USING gin (factors);
CREATE INDEX ix_accounts_groups ON users.accounts USING gin (groups);

CREATE TABLE users.codes (
    id UUID NOT NULL,
    purpose TEXT NOT NULL,
    account_id UUID,
    email_key_hash BYTEA NOT NULL,
    client_hash BYTEA,
    code_mac BYTEA,
    attempts SMALLINT DEFAULT '0' NOT NULL,
    outcome TEXT,
    said TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);
CREATE INDEX ix_codes_account_id_created_at ON users.codes (account_id, created_at);
CREATE INDEX ix_codes_client_hash_created_at ON users.codes (client_hash, created_at);
CREATE INDEX ix_codes_email_key_hash_created_at ON users.codes (email_key_hash, created_at);
CREATE INDEX ix_codes_expires_at ON users.codes (expires_at);

CREATE TABLE users.ended_sessions (
    id UUID NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ix_ended_sessions_until ON users.ended_sessions (until);

CREATE TABLE users.in_step (
    id SMALLINT NOT NULL CONSTRAINT one_row CHECK (id = 1),
    told_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE users.incarnation (
    id SMALLINT NOT NULL CONSTRAINT one_row CHECK (id = 1),
    number BIGINT DEFAULT '1' NOT NULL,
    published BIGINT DEFAULT '1' NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE users.name_guesses (
    account_id UUID NOT NULL,
    guesses INTEGER NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (account_id)
);

CREATE TABLE users.notices (
    email_key_hash BYTEA NOT NULL,
    words TEXT[] NOT NULL,
    told_at TIMESTAMP WITH TIME ZONE[] NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (email_key_hash)
);
CREATE INDEX ix_notices_last_at ON users.notices (last_at);

CREATE TABLE users.outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    event_id UUID NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    traceparent TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE users.password_guesses (
    account_id UUID NOT NULL,
    guesses INTEGER NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (account_id)
);

CREATE TABLE users.registration_keys (
    digest BYTEA NOT NULL,
    account_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (digest)
);
CREATE INDEX ix_registration_keys_created_at ON users.registration_keys (created_at);

CREATE TABLE users.tombstones (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE users.invitations (
    code_id UUID NOT NULL,
    email TEXT NOT NULL,
    is_admin BOOLEAN NOT NULL,
    groups TEXT[] NOT NULL,
    invited_by UUID,
    PRIMARY KEY (code_id),
    FOREIGN KEY(code_id) REFERENCES users.codes (id) ON DELETE CASCADE
);

CREATE TABLE users.pending_registrations (
    code_id UUID NOT NULL,
    email TEXT NOT NULL,
    username TEXT NOT NULL,
    name TEXT NOT NULL,
    lastname TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    is_2fa BOOLEAN NOT NULL,
    PRIMARY KEY (code_id),
    FOREIGN KEY(code_id) REFERENCES users.codes (id) ON DELETE CASCADE
);

INSERT INTO users.incarnation (id) VALUES (1);
INSERT INTO users.in_step (id) VALUES (1);
