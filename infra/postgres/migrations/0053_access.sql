-- Who holds what, who belongs where, who is linked to whom: what row-level security goes by. The rows are those
-- of the projection `access`; nothing else writes them.

CREATE TABLE read.accounts (
    user_id text COLLATE "C" PRIMARY KEY,
    zone_id text COLLATE "C",
    org_id  text COLLATE "C",
    active  boolean NOT NULL
);
COMMENT ON TABLE read.accounts IS 'Whose account opens something. Who is not here yet has only just registered.';
COMMENT ON COLUMN read.accounts.org_id IS 'The organisation that enrolled the person: opens nothing by itself.';

CREATE TABLE read.memberships (
    user_id text COLLATE "C",
    role    text COLLATE "C",
    place   text COLLATE "C",
    org_id  text COLLATE "C",
    zone_id text COLLATE "C",
    since   timestamptz NOT NULL,
    PRIMARY KEY (user_id, role, place),
    CHECK (place = coalesce(org_id, 'zone'))
);
COMMENT ON TABLE read.memberships IS 'The roles that people hold now, each in an organisation or (org_id null) in their zone.';
COMMENT ON COLUMN read.memberships.place IS 'The organisation, or `zone`: a key cannot hold a null.';
CREATE INDEX memberships_of_organization ON read.memberships (org_id, user_id) WHERE org_id IS NOT NULL;

CREATE TABLE read.organizations (
    org_id     text COLLATE "C" PRIMARY KEY,
    zone_id    text COLLATE "C",
    name       text NOT NULL,
    founded_at timestamptz NOT NULL,
    version    bigint NOT NULL
);
CREATE INDEX organizations_in_zone ON read.organizations (zone_id, org_id);

CREATE TABLE read.classes (
    class_id     text COLLATE "C" PRIMARY KEY,
    org_id       text COLLATE "C",
    zone_id      text COLLATE "C",
    name         text NOT NULL,
    external_id text,
    opened_at    timestamptz NOT NULL,
    closed_at    timestamptz,
    version      bigint NOT NULL
);
CREATE INDEX classes_of_organization ON read.classes (org_id, class_id);

CREATE TABLE read.class_members (
    class_id text COLLATE "C",
    user_id  text COLLATE "C",
    part     text COLLATE "C" CHECK (part IN ('teacher', 'student')),
    org_id   text COLLATE "C",
    zone_id  text COLLATE "C",
    since    timestamptz NOT NULL,
    PRIMARY KEY (class_id, user_id, part)
);
CREATE INDEX class_members_of_person ON read.class_members (user_id, part);

CREATE TABLE read.parent_links (
    link_id    text COLLATE "C" PRIMARY KEY,
    parent_id  text COLLATE "C" NOT NULL,
    student_id text COLLATE "C" NOT NULL,
    zone_id    text COLLATE "C",
    status     text NOT NULL CHECK (status IN ('requested', 'approved', 'ended')),
    since      timestamptz NOT NULL
);
COMMENT ON COLUMN read.parent_links.since IS 'When it came to this status.';
CREATE INDEX parent_links_in_force ON read.parent_links (parent_id) WHERE status = 'approved';
CREATE INDEX parent_links_of_student ON read.parent_links (student_id);

-- What the tables of the other projections lack for that -----------------------------------------------

ALTER TABLE read.exams ADD COLUMN author_id text COLLATE "C";
COMMENT ON COLUMN read.exams.author_id IS 'The person who drafted it first; null where a program did.';
CREATE INDEX exams_of_author ON read.exams (author_id) WHERE author_id IS NOT NULL;

-- Filled when the projection is rebuilt, as its version is another.
ALTER TABLE read.attempt_responses ADD COLUMN exam_id text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE read.attempt_responses ALTER COLUMN exam_id DROP DEFAULT;

-- Row-level security hides rows, not columns: what opens later than the rest has a table of its own.
CREATE TABLE read.attempt_scores (
    attempt_id  text COLLATE "C" PRIMARY KEY,
    exam_id     text COLLATE "C" NOT NULL,
    examinee_id text COLLATE "C" NOT NULL,
    zone_id     text COLLATE "C",
    org_id      text COLLATE "C",
    score       numeric NOT NULL,
    max_score   numeric NOT NULL
);
COMMENT ON TABLE read.attempt_scores IS 'One row for each scored attempt. It opens to examinees and their parents with the results.';
CREATE INDEX attempt_scores_at_exam ON read.attempt_scores (exam_id, attempt_id);
ALTER TABLE read.attempts DROP COLUMN score, DROP COLUMN max_score;

-- Nobody but the projector until the policies come with the next migration ---------------------------------

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY[
        'accounts', 'memberships', 'organizations', 'classes', 'class_members', 'parent_links', 'attempt_scores'
    ] LOOP
        EXECUTE format('ALTER TABLE read.%I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE read.%I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format(
            'CREATE POLICY everything ON read.%I TO megacity_projector, megacity_owner USING (true) WITH CHECK (true)',
            table_name
        );
    END LOOP;
END $$;
