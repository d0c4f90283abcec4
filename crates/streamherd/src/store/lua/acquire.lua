-- KEYS  epoch control input front, then a lock per entry
-- ARGV  epoch, consumer, ttl ms, then lane (3 or 4, its index in KEYS) and stream id per entry
-- Between the read and this, a stalled worker may have lost an entry to a peer; only what is still pending for it
-- becomes a lease. "Already my value" makes a call whose reply was lost repeatable.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'epoch'} end
local consumer, ttl = ARGV[2], ARGV[3]
local mine = consumer .. ':'
local token = tonumber(redis.call('HGET', KEYS[2], 'token')) or 0
local drawn = false
local now = now_us()

local function acquire(lock, stream, id)
  local p = pending(stream, id)
  if not p or p[2] ~= consumer then return {'gone'} end
  local held = lock_value(lock)
  if held and string.sub(held, 1, #mine) == mine then
    redis.call('PEXPIRE', lock, ttl)
    return {'ok', string.sub(held, #mine + 1)}
  end
  if alive(lock) then return {'held'} end
  token = math.max(token + 1, now)
  drawn = true
  redis.call('SET', lock, mine .. whole(token), 'PX', ttl)
  return {'ok', whole(token)}
end

local result = {'ok'}
for i = 5, #KEYS do
  local at = 4 + (i - 5) * 2
  result[#result + 1] = outcome(acquire, KEYS[i], KEYS[tonumber(ARGV[at])], ARGV[at + 1])
end
if drawn then redis.call('HSET', KEYS[2], 'token', whole(token)) end
return result
