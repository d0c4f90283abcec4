-- KEYS  those of the first partition
-- ARGV  into how many partitions the service is divided; 0 only asks
-- Who submits needs this right, and whoever only looks does not.
if ARGV[1] ~= '0' then redis.call('HSTRLEN', NOTHING, 'f') end
local stored = tonumber(redis.call('HGET', CONTROL, 'partitions'))
if not stored and ARGV[1] ~= '0' then
  redis.call('HSET', CONTROL, 'partitions', ARGV[1])
  stored = ARGV[1]
end
return {'ok', stored or 0}
