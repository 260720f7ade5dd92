-- Who holds which role beside those of students and parents, since when, and who confirmed it last.

CREATE TABLE read.role_reviews (
    user_id      text COLLATE "C",
    role         text COLLATE "C",
    place        text COLLATE "C",
    org_id       text COLLATE "C",
    zone_id      text COLLATE "C",
    granted_at   timestamptz NOT NULL,
    granted_by   text COLLATE "C" NOT NULL,
    confirmed_at timestamptz,
    confirmed_by text COLLATE "C",
    reviewed_at  timestamptz,
    PRIMARY KEY (user_id, role, place)
);
COMMENT ON COLUMN read.role_reviews.place IS 'The organisation, or `zone`: a key cannot hold a null.';
COMMENT ON COLUMN read.role_reviews.reviewed_at IS 'As the account itself has it: null where the role was granted before such times were kept.';

-- What has to be confirmed: looked for all the time.
CREATE INDEX role_reviews_by_time ON read.role_reviews ((coalesce(confirmed_at, granted_at)))
    WHERE role IN ('sys_admin', 'zone_admin');

-- As for every table of the read side: see 0020_read_models.sql. Everybody sees their own, and who administers the
-- system everybody's.

ALTER TABLE read.role_reviews ENABLE ROW LEVEL SECURITY;
ALTER TABLE read.role_reviews FORCE ROW LEVEL SECURITY;
CREATE POLICY everything ON read.role_reviews TO megacity_projector, megacity_owner
    USING (true) WITH CHECK (true);
CREATE POLICY zone_wall ON read.role_reviews AS RESTRICTIVE FOR SELECT TO megacity_reader
    USING (zone_id = (SELECT read.asker_zone()) OR (SELECT read.asker_passes_zone_wall()));
CREATE POLICY oneself ON read.role_reviews FOR SELECT TO megacity_reader
    USING (user_id = (SELECT read.asker_id()));
CREATE POLICY administrators ON read.role_reviews FOR SELECT TO megacity_reader
    USING ((SELECT read.asker_passes_zone_wall()));
