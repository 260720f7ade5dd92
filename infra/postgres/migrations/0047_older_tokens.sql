-- Tokens that were made from an older account: a role was taken away, and the next refresh tells of it.
--
-- NULL: every token of the session or the person, whatever account it was made from.
ALTER TABLE ops.revocations ADD COLUMN older_than bigint CHECK (older_than > 0);
