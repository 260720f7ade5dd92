-- How many sign-ins failed, by the minute, over all processes. Who tried is not kept.
CREATE TABLE ops.sign_in_failures (
    minute timestamptz PRIMARY KEY,
    failures bigint NOT NULL CHECK (failures > 0)
);
