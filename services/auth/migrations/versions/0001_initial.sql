-- Schema `auth` of 1.0.0.

CREATE TABLE auth.address_failures (
    address_hash BYTEA NOT NULL,
    failed_at TIMESTAMP WITH TIME ZONE[] NOT NULL,
    in_flight INTEGER DEFAULT '0' NOT NULL,
    in_flight_until TIMESTAMP WITH TIME ZONE,
    last_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (address_hash)
);
CREATE INDEX ix_address_failures_last_at ON auth.address_failures (last_at);

CREATE TABLE auth.back_pressure (
    id SMALLINT NOT NULL CONSTRAINT one_row CHECK (id = 1),
    since TIMESTAMP WITH TIME ZONE,
    watched_at TIMESTAMP WITH TIME ZONE,
    watched_since TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);

CREATE TABLE auth.challenges (
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    factors_version BIGINT NOT NULL,
    session_id UUID,
    methods TEXT[] NOT NULL,
    email_key_hash BYTEA NOT NULL,
    code_mac BYTEA,
    attempts SMALLINT DEFAULT '0' NOT NULL,
    resends SMALLINT DEFAULT '0' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    code_event_id UUID,
    code_outcome TEXT,
    PRIMARY KEY (id)
);
CREATE INDEX ix_challenges_account_id_sent_at ON auth.challenges (account_id, sent_at);
CREATE INDEX ix_challenges_email_key_hash_sent_at ON auth.challenges (email_key_hash, sent_at);
CREATE INDEX ix_challenges_expires_at ON auth.challenges (expires_at);

CREATE TABLE auth.code_failures (
    account_id UUID NOT NULL,
    failures BIGINT NOT NULL,
    PRIMARY KEY (account_id)
);

CREATE TABLE auth.factors (
    account_id UUID NOT NULL,
    methods TEXT[] DEFAULT '{}' NOT NULL,
    user_handle BYTEA NOT NULL,
    recovery_salt BYTEA,
    recovery_made_at TIMESTAMP WITH TIME ZONE,
    login_epoch BIGINT,
    PRIMARY KEY (account_id),
    UNIQUE (user_handle)
);

CREATE TABLE auth.familiar_addresses (
    account_id UUID NOT NULL,
    address_hash BYTEA NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (account_id, address_hash)
);
CREATE INDEX ix_familiar_addresses_last_at ON auth.familiar_addresses (last_at);

CREATE TABLE auth.identities (
    id UUID NOT NULL,
    incarnation BIGINT NOT NULL,
    version BIGINT NOT NULL,
    deleted BOOLEAN NOT NULL,
    username_key TEXT NOT NULL,
    email TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    is_2fa BOOLEAN NOT NULL,
    is_admin BOOLEAN NOT NULL,
    is_active BOOLEAN NOT NULL,
    locked_out BOOLEAN DEFAULT false NOT NULL,
    email_verified BOOLEAN DEFAULT false NOT NULL,
    groups TEXT[] DEFAULT '{}' NOT NULL,
    password_by_mail BOOLEAN DEFAULT false NOT NULL,
    session_epoch BIGINT NOT NULL,
    factors_version BIGINT DEFAULT '0' NOT NULL,
    kept_session UUID,
    applied_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ix_identities_administrators ON auth.identities (id) WHERE is_admin;
CREATE INDEX ix_identities_username_key ON auth.identities (username_key);

CREATE TABLE auth.in_step (
    id SMALLINT NOT NULL CONSTRAINT one_row CHECK (id = 1),
    incarnation BIGINT DEFAULT '0' NOT NULL,
    heard TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);

CREATE TABLE auth.login_failures (
    name_hash BYTEA NOT NULL,
    address TEXT NOT NULL,
    failures BIGINT NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    wait_until TIMESTAMP WITH TIME ZONE,
    in_flight INTEGER DEFAULT '0' NOT NULL,
    in_flight_until TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (name_hash, address)
);
CREATE INDEX ix_login_failures_last_at ON auth.login_failures (last_at);

CREATE TABLE auth.name_failures (
    name_hash BYTEA NOT NULL,
    failed_at TIMESTAMP WITH TIME ZONE[] NOT NULL,
    in_flight INTEGER DEFAULT '0' NOT NULL,
    in_flight_until TIMESTAMP WITH TIME ZONE,
    last_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (name_hash)
);
CREATE INDEX ix_name_failures_last_at ON auth.name_failures (last_at);

CREATE TABLE auth.notices (
    email_key_hash BYTEA NOT NULL,
    words TEXT[] NOT NULL,
    told_at TIMESTAMP WITH TIME ZONE[] NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (email_key_hash)
);
CREATE INDEX ix_notices_last_at ON auth.notices (last_at);

CREATE TABLE auth.notifiers (
    instance_id UUID NOT NULL,
    number BIGINT NOT NULL,
    heard_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    delivering_at TIMESTAMP WITH TIME ZONE,
    lag DOUBLE PRECISION,
    PRIMARY KEY (instance_id)
);
CREATE INDEX ix_notifiers_heard_at ON auth.notifiers (heard_at);

CREATE TABLE auth.outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    event_id UUID NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    traceparent TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ix_outbox_codes ON auth.outbox (created_at) WHERE type = 'auth.otp_requested.v1';

CREATE TABLE auth.passkeys (
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    credential_id BYTEA NOT NULL,
    public_key BYTEA NOT NULL,
    sign_count BIGINT NOT NULL,
    synced BOOLEAN NOT NULL,
    transports TEXT[] NOT NULL,
    aaguid TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    UNIQUE (credential_id)
);
CREATE INDEX ix_passkeys_account_id ON auth.passkeys (account_id);

CREATE TABLE auth.recovery_codes (
    account_id UUID NOT NULL,
    number SMALLINT NOT NULL,
    hash BYTEA NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (account_id, number)
);

CREATE TABLE auth.sessions (
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    amr TEXT[] NOT NULL,
    began_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    auth_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    address TEXT,
    user_agent TEXT,
    cookie_hash BYTEA,
    gate_hash BYTEA,
    kept BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (cookie_hash),
    UNIQUE (gate_hash)
);
CREATE INDEX ix_sessions_account_id ON auth.sessions (account_id);
CREATE INDEX ix_sessions_expires_at ON auth.sessions (expires_at);

CREATE TABLE auth.totp (
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    sealed_secret TEXT NOT NULL,
    name TEXT NOT NULL,
    attempts SMALLINT DEFAULT '0' NOT NULL,
    last_step BIGINT DEFAULT '0' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX ix_totp_confirmed ON auth.totp (account_id) WHERE confirmed_at IS NOT NULL;
CREATE UNIQUE INDEX ix_totp_unconfirmed ON auth.totp (account_id) WHERE confirmed_at IS NULL;

CREATE TABLE auth.trusted_devices (
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    token_hash BYTEA NOT NULL,
    epoch BIGINT NOT NULL,
    factors_version BIGINT NOT NULL,
    address TEXT,
    user_agent TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (token_hash)
);
CREATE INDEX ix_trusted_devices_account_id ON auth.trusted_devices (account_id);
CREATE INDEX ix_trusted_devices_expires_at ON auth.trusted_devices (expires_at);

CREATE TABLE auth.used_ceremonies (
    id UUID NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ix_used_ceremonies_expires_at ON auth.used_ceremonies (expires_at);

CREATE TABLE auth.refresh_tokens (
    id UUID NOT NULL,
    session_id UUID NOT NULL,
    parent_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    amr TEXT[] NOT NULL,
    auth_time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    email_verified BOOLEAN DEFAULT false NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    FOREIGN KEY(session_id) REFERENCES auth.sessions (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX ix_refresh_tokens_parent_id ON auth.refresh_tokens (parent_id);
CREATE INDEX ix_refresh_tokens_session_id ON auth.refresh_tokens (session_id);

INSERT INTO auth.back_pressure (id) VALUES (1);
INSERT INTO auth.in_step (id) VALUES (1);
