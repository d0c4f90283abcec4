-- KEYS  those of the partition
-- ARGV  '1' to pause, '0' to resume; what, as the field that says so
-- A pause outlives whoever asked for it: it stands until it is taken back.
if ARGV[1] == '1' then
  if redis.call('HGET', CONTROL, ARGV[2]) then return {'ok', 0} end
  return {'ok', redis.call('HSET', CONTROL, ARGV[2], whole(now_ms()))}
end
return {'ok', redis.call('HDEL', CONTROL, ARGV[2])}
