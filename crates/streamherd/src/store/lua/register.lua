-- KEYS  those of the partition
-- ARGV  consumer, its name, its row
-- When it was last seen goes by the clock of Redis. Says whether the consumer is paused.
redis.call('HSET', CONSUMERS, ARGV[1], whole(now_ms()) .. ' ' .. ARGV[3])
return {'ok', paused(ARGV[1], ARGV[2]) and 1 or 0}
