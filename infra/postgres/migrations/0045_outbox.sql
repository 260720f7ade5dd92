-- Mail that is to be sent, and the links in it. Nothing here opens an account: a link's token is derived from its
-- mail's id with a secret of the server when the mail is written, and only its hash is kept.

CREATE TABLE ops.outbox (
    -- Becomes the Message-ID.
    mail_id text COLLATE "C" PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('verify_email', 'password_reset', 'password_changed')),
    -- A person; or a keyed hash of an address of which nobody has looked yet whether it is anybody's.
    subject_id text COLLATE "C",
    email_hash text COLLATE "C",
    asked_at timestamptz NOT NULL,
    next_try_at timestamptz NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    outcome text COLLATE "C" CHECK (outcome IN ('sent', 'dropped')),
    done_at timestamptz,
    CHECK ((subject_id IS NULL) <> (email_hash IS NULL)),
    CHECK ((outcome IS NULL) = (done_at IS NULL))
);

-- What waits already is not asked for twice; but each change of a password is told.
CREATE UNIQUE INDEX outbox_waiting ON ops.outbox (coalesce(subject_id, email_hash), kind)
    WHERE done_at IS NULL AND kind <> 'password_changed';
CREATE INDEX outbox_due ON ops.outbox (next_try_at) WHERE done_at IS NULL;
CREATE INDEX outbox_done ON ops.outbox (done_at) WHERE done_at IS NOT NULL;
CREATE INDEX outbox_sent_to_address ON ops.outbox (email_hash, done_at) WHERE email_hash IS NOT NULL;

CREATE TABLE ops.one_time_links (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    purpose text COLLATE "C" NOT NULL,
    subject_id text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX one_time_links_of_subject ON ops.one_time_links (subject_id, purpose);
CREATE INDEX one_time_links_by_end ON ops.one_time_links (expires_at);
