-- KEYS  those of the partition
-- ARGV  epoch, consumer, ttl ms, then packed: the locks and their values
-- Answers how many there are, and then the position and the outcome of each that was not simply kept.
if redis.call('GET', EPOCH) ~= ARGV[1] then return {'epoch'} end
local consumer, ttl = ARGV[2], ARGV[3]
local locks, values = cmsgpack.unpack(ARGV[4]), cmsgpack.unpack(ARGV[5])

local function renew(lock, value)
  local stream, id = place(string.sub(lock, #LOCK + 1))
  if lock_value(lock) == value then
    extend_lock(lock, value, ttl)
    local p = GO and pending(stream, id)
    -- A Go worker takes, when it starts, whatever was delivered 40 s ago, though it can't lock it. How long it was held,
    -- which idleness doesn't tell then, is said by the count of deliveries, in seconds.
    if p and (p[2] ~= consumer or p[3] >= 10000) then
      local token = tonumber(string.match(value, ':(%d+)$')) or math.huge
      local held = math.max(math.floor((now_us() - token) / 1000000), 1)
      redis.call('XCLAIM', stream, GROUP, consumer, 0, id, 'RETRYCOUNT', whole(held), 'JUSTID')
    end
    return 'kept'
  end
  if alive(lock) then return 'lost' end
  local p = pending(stream, id)
  if not p then return 'gone' end
  if p[2] ~= consumer then return 'lost' end
  set_lock(lock, value, ttl)
  return 'reacquired'
end

local result = {'ok', #locks}
local held = redis.call('MGET', unpack(locks))
for i = 1, #locks do
  local lock, value = locks[i], values[i]
  -- Nearly all end here.
  if GO or held[i] ~= value or redis.pcall('PEXPIRE', lock, ttl) ~= 1 then
    local answer = outcome(renew, lock, value)
    if (answer == 'lost' or answer == 'gone') and not is_known_server() then return {'epoch'} end
    if answer ~= 'kept' then
      result[#result + 1] = i
      result[#result + 1] = answer
    end
  end
end
return result
