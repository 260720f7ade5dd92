-- Where the engine of adaptive tests begins: at the end of the log as it is now.
--
-- Before this migration there are no adaptive attempts, so no response that came before can be waiting for the
-- engine; and after it every response is one that the engine has to look at, whenever it is started first.
INSERT INTO ops.consumer_partitions (consumer, topic, partition, position)
SELECT 'cat-engine', 'log', 0, coalesce(max(position), 0) FROM log.positions
ON CONFLICT DO NOTHING;
