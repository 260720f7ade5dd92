-- Signing in with identities of other providers: what has been started, and which account an identity may open.

-- One row from the start of a sign-in to its end, once. Hashes only: state and binding are with the browser, and
-- nonce and code verifier are derived from the state with a secret of the server.
CREATE TABLE ops.oidc_flows (
    state_hash bytea PRIMARY KEY CHECK (octet_length(state_hash) = 32),
    binding_hash bytea NOT NULL CHECK (octet_length(binding_hash) = 32),
    provider text NOT NULL,
    -- Who links an identity to their account; null where somebody signs in.
    user_id text,
    zone_id text NOT NULL,
    language text NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX oidc_flows_by_end ON ops.oidc_flows (expires_at);

-- Like ops.claims, but an identity that was unlinked may go to another account.
CREATE TABLE ops.identity_claims (
    subject_hash text COLLATE "C" PRIMARY KEY,
    user_id text NOT NULL,
    claimed_at timestamptz NOT NULL
);
