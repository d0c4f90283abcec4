-- KEYS  those of the partition, then a lock per lease
-- ARGV  epoch, consumer, ttl ms, then entry and lock value per lease
if redis.call('GET', EPOCH) ~= ARGV[1] then return {'epoch'} end
local consumer, ttl = ARGV[2], ARGV[3]

local function renew(lock, ref, value)
  if lock_value(lock) == value then
    redis.call('PEXPIRE', lock, ttl)
    return 'kept'
  end
  if alive(lock) then return 'lost' end
  local stream, id = place(ref)
  local p = pending(stream, id)
  if not p then return 'gone' end
  if p[2] ~= consumer then return 'lost' end
  redis.call('SET', lock, value, 'PX', ttl)
  return 'reacquired'
end

local result = {'ok'}
for i = LOCKS + 1, #KEYS do
  local at = 4 + (i - LOCKS - 1) * 2
  local answer = outcome(renew, KEYS[i], ARGV[at], ARGV[at + 1])
  if (answer == 'lost' or answer == 'gone') and not is_known_server() then return {'epoch'} end
  result[#result + 1] = answer
end
return result
