-- KEYS  those of the partition
-- ARGV  consumer, how long it is kept in ms, how many entries to forget, those, then entries and what is said of each
-- Outside of what decides anything: how far work has come, for those who look on. What is said last stands, by the clock of
-- Redis; all of it goes with its consumer, or when nobody keeps it.
local progress, now = PREFIX .. 'progress:' .. ARGV[1], whole(now_ms())
local gone = tonumber(ARGV[3])
for i = 4, 3 + gone do redis.call('HDEL', progress, ARGV[i]) end
for i = 4 + gone, #ARGV, 2 do redis.call('HSET', progress, ARGV[i], now .. ' ' .. ARGV[i + 1]) end
redis.call('PEXPIRE', progress, ARGV[2])
return {'ok'}
