-- KEYS  those of the partition
-- ARGV  consumer, its name, its row, its lock_ttl ms
-- When it was last seen goes by the clock of Redis. Says whether the consumer is paused.
local now = now_ms()
redis.call('HSET', CONSUMERS, ARGV[1], whole(now) .. ' ' .. ARGV[3])
note_ttl(tonumber(ARGV[4]), now)
return {'ok', paused(ARGV[1], ARGV[2]) and 1 or 0}
