-- Secrets and sign-ins. Hashes only: nothing in these tables opens an account.
-- The writer's rights come from the default privileges of schema ops.

CREATE TABLE ops.credentials (
    credential_id text PRIMARY KEY,
    subject_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('password', 'client_secret')),
    hash text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE INDEX credentials_by_subject ON ops.credentials (subject_id);

-- One row for each sign-in.
CREATE TABLE ops.refresh_families (
    session_id text PRIMARY KEY,
    subject_id text NOT NULL,
    -- Generation of the newest token given out.
    generation integer NOT NULL CHECK (generation >= 0),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_because text
);

CREATE INDEX refresh_families_by_subject ON ops.refresh_families (subject_id);
CREATE INDEX refresh_families_by_end ON ops.refresh_families (expires_at);

-- Every token that was ever given out in a family, so that a second use of an old one is noticed.
CREATE TABLE ops.refresh_tokens (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    session_id text NOT NULL REFERENCES ops.refresh_families ON DELETE CASCADE,
    generation integer NOT NULL,
    issued_at timestamptz NOT NULL,
    rotated_at timestamptz,
    UNIQUE (session_id, generation)
);
