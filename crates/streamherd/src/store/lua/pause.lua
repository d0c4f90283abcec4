-- KEYS  those of the partition
-- ARGV  '1' to pause, '0' to resume; a consumer or a name of consumers, '' for the whole service
-- A pause outlives whoever asked for it: it stands until it is taken back.
local which = ARGV[2] == '' and 'paused' or 'paused:' .. ARGV[2]
if ARGV[1] == '1' then
  if redis.call('HGET', CONTROL, which) then return {'ok', 0} end
  return {'ok', redis.call('HSET', CONTROL, which, whole(now_ms()))}
end
return {'ok', redis.call('HDEL', CONTROL, which)}
