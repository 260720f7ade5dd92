-- What reads the relayed log, how far it has come, and what it could not take.

-- A consumer's place in one partition of a topic, as a position of the log: written in the transaction of the
-- effects, so that it is right whatever the broker forgets. Everything of the partition up to it has taken effect.
CREATE TABLE ops.consumer_partitions (
    consumer   text COLLATE "C" NOT NULL,
    topic      text COLLATE "C" NOT NULL,
    partition  integer NOT NULL CHECK (partition >= 0),
    position   bigint NOT NULL CHECK (position >= 0),
    row_table  oid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, topic, partition)
) WITH (fillfactor = 50);
COMMENT ON COLUMN ops.consumer_partitions.row_table IS 'Of a projection: the table that holds the effects. A rebuild puts another one in its place, which has its own position.';

-- Where there is no broker to keep a dead-letter topic: what a consumer that reads the log itself gave up on.
CREATE TABLE ops.dead_letters (
    consumer  text   COLLATE "C" NOT NULL,
    position  bigint NOT NULL CHECK (position > 0),
    stream_id text   COLLATE "C" NOT NULL,
    type      text   COLLATE "C" NOT NULL,
    error     text NOT NULL,
    attempts  integer NOT NULL CHECK (attempts >= 0),
    given_up_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, position)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.dead_letters
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();

GRANT SELECT, INSERT, UPDATE ON ops.consumer_partitions TO megacity_projector;
GRANT SELECT, INSERT ON ops.dead_letters TO megacity_projector;
-- The write side may look, and has no business here beyond that.
REVOKE INSERT, UPDATE, DELETE ON ops.consumer_partitions, ops.dead_letters FROM megacity_writer;
