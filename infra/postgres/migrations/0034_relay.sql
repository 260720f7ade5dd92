-- How far the relay to Kafka has come, and what it knows to be there.

CREATE TABLE ops.relays (
    name       text PRIMARY KEY,
    position   bigint NOT NULL DEFAULT 0 CHECK (position >= 0),
    epoch      bigint NOT NULL DEFAULT 0,
    rewinds    bigint NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
COMMENT ON COLUMN ops.relays.name IS 'The prefix of its topics.';
COMMENT ON COLUMN ops.relays.position IS 'Everything up to here has been acknowledged by the broker.';
COMMENT ON COLUMN ops.relays.epoch IS 'Grows with every leader: one that was replaced can no longer write here.';

CREATE TABLE ops.relay_topics (
    relay      text    NOT NULL REFERENCES ops.relays,
    topic      text    NOT NULL,
    partitions integer NOT NULL CHECK (partitions > 0),
    PRIMARY KEY (relay, topic)
);
COMMENT ON COLUMN ops.relay_topics.partitions IS
    'Streams are spread by it, and consumers keep a position for each: so it never changes.';

CREATE TABLE ops.relay_partitions (
    relay     text    NOT NULL,
    topic     text    NOT NULL,
    partition integer NOT NULL CHECK (partition >= 0),
    position  bigint  NOT NULL CHECK (position > 0),
    PRIMARY KEY (relay, topic, partition),
    FOREIGN KEY (relay, topic) REFERENCES ops.relay_topics
) WITH (fillfactor = 50);
COMMENT ON COLUMN ops.relay_partitions.position IS
    'Of the last event up to the relay''s position that went to this partition.';

GRANT SELECT, INSERT, UPDATE, DELETE ON ops.relays, ops.relay_topics, ops.relay_partitions TO megacity_projector;
-- The write side may look, and has no business here beyond that.
REVOKE INSERT, UPDATE, DELETE ON ops.relays, ops.relay_topics, ops.relay_partitions FROM megacity_writer;
