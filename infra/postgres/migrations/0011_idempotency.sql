-- Requests with an Idempotency-Key: who carries them out, and what they were answered.

CREATE TABLE ops.idempotency (
    principal text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    -- Allotted with the key and kept when a holder dies: by it the handler knows its own earlier append.
    command_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('in_flight', 'done')),
    lease_until timestamptz NOT NULL,
    status smallint,
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (principal, route, key),
    CHECK ((state = 'done') = (status IS NOT NULL AND headers IS NOT NULL AND body IS NOT NULL))
);

CREATE INDEX idempotency_by_end ON ops.idempotency (expires_at);
