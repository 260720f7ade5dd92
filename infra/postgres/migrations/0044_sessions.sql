-- What a person is shown of their sign-ins, and which access tokens are refused before they expire.
--
-- Where somebody signed in from is personal data: it stays outside the log, and goes with the sign-in.
ALTER TABLE ops.refresh_families
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN user_agent text,
    ADD COLUMN address text,
    -- The credential that opened it: a sign-in outlives no change of the password but its own.
    ADD COLUMN credential_id text;

-- Sessions and subjects (their ids cannot be mistaken for each other) whose tokens are good no more. Every
-- process holds the rows in memory and looks for new ones several times a second.
CREATE TABLE ops.revocations (
    id text COLLATE "C" PRIMARY KEY,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- By then every token that was given out before has expired.
    kept_until timestamptz NOT NULL
);

CREATE INDEX revocations_by_time ON ops.revocations (noted_at);
CREATE INDEX revocations_by_end ON ops.revocations (kept_until);
