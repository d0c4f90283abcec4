-- KEYS  epoch input front, then a lock per lease
-- ARGV  epoch, consumer, ttl ms, then lane (2 or 3), stream id and lock value per lease
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'epoch'} end
local consumer, ttl = ARGV[2], ARGV[3]

local function renew(lock, stream, id, value)
  if lock_value(lock) == value then
    redis.call('PEXPIRE', lock, ttl)
    return 'kept'
  end
  if alive(lock) then return 'lost' end
  local p = pending(stream, id)
  if not p then return 'gone' end
  if p[2] ~= consumer then return 'lost' end
  redis.call('SET', lock, value, 'PX', ttl)
  return 'reacquired'
end

local result = {'ok'}
for i = 4, #KEYS do
  local at = 4 + (i - 4) * 3
  result[#result + 1] = outcome(renew, KEYS[i], KEYS[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 2])
end
return result
