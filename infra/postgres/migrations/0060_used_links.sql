-- How many letters a person was sent is counted, as it is for addresses: whoever opened an account under the address
-- of somebody else could have that one written to without end.
CREATE INDEX outbox_sent_to_person ON ops.outbox (subject_id, done_at) WHERE subject_id IS NOT NULL;

-- A link that was used, or withdrawn, stays as long as its mail may be sent again: that makes the same link.
ALTER TABLE ops.one_time_links ADD COLUMN used_at timestamptz;
