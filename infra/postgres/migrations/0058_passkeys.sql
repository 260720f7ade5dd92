-- Public keys of passkeys, and the challenges that authenticators have yet to answer. Nothing here opens an account.

CREATE TABLE ops.passkeys (
    credential_ref text PRIMARY KEY,
    user_id text NOT NULL,
    -- Chosen by the authenticator.
    credential_id bytea NOT NULL UNIQUE CHECK (octet_length(credential_id) BETWEEN 1 AND 1023),
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL CHECK (sign_count >= 0),
    created_at timestamptz NOT NULL,
    last_used_at timestamptz,
    -- When its counter went back: somebody may have copied it.
    suspected_copy_at timestamptz
);

CREATE INDEX passkeys_by_user ON ops.passkeys (user_id);

-- Each is answered once, within minutes.
CREATE TABLE ops.passkey_challenges (
    challenge_hash bytea PRIMARY KEY CHECK (octet_length(challenge_hash) = 32),
    -- Who registers a passkey; null where somebody signs in.
    user_id text,
    expires_at timestamptz NOT NULL
);

CREATE INDEX passkey_challenges_by_end ON ops.passkey_challenges (expires_at);
