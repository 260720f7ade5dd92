-- What each person is subscribed to.

CREATE TABLE read.subscriptions (
    user_id         text COLLATE "C" PRIMARY KEY,
    subscription_id text COLLATE "C" NOT NULL,
    zone_id         text COLLATE "C",
    plan            text COLLATE "C" NOT NULL,
    status          text COLLATE "C" NOT NULL CHECK (status IN ('active', 'cancelled', 'expired')),
    started_at      timestamptz NOT NULL,
    paid_until      timestamptz NOT NULL,
    paid_as_of      timestamptz NOT NULL,
    cancelled_as_of timestamptz,
    version         bigint NOT NULL
);
COMMENT ON COLUMN read.subscriptions.status IS 'As the log has it: what is paid for no longer is over, also before the log says so.';
COMMENT ON COLUMN read.subscriptions.paid_as_of IS 'When the newest payment was made; by this newer news is told from older.';

-- For the worker that ends what is over.
CREATE INDEX subscriptions_by_end ON read.subscriptions (paid_until) WHERE status <> 'expired';

-- As for every table of the read side: see 0020_read_models.sql. People see their own; staff of schools and
-- zones do not see what somebody has paid for.

ALTER TABLE read.subscriptions ENABLE ROW LEVEL SECURITY;
ALTER TABLE read.subscriptions FORCE ROW LEVEL SECURITY;
CREATE POLICY everything ON read.subscriptions TO megacity_projector, megacity_owner
    USING (true) WITH CHECK (true);
CREATE POLICY zone_wall ON read.subscriptions AS RESTRICTIVE FOR SELECT TO megacity_reader
    USING (zone_id = (SELECT read.asker_zone()) OR (SELECT read.asker_passes_zone_wall()));
CREATE POLICY oneself ON read.subscriptions FOR SELECT TO megacity_reader
    USING (user_id = (SELECT read.asker_id()));
CREATE POLICY administrators ON read.subscriptions FOR SELECT TO megacity_reader
    USING ((SELECT read.asker_passes_zone_wall()));
