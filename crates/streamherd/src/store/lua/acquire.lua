-- KEYS  those of the partition, then a lock per entry
-- ARGV  epoch, consumer, its name, ttl ms, then the entries
-- Between the read and this, a stalled worker may have lost an entry to a peer; only what is still pending for it
-- becomes a lease. "Already my value" makes a call whose reply was lost repeatable.
local against = not_now(ARGV[1])
if against then return against end
local consumer, ttl = ARGV[2], ARGV[4]
local mine = consumer .. ':'
-- Asked here once more: a read that was blocked when the pause came has taken an entry after it.
local pause = paused(consumer, ARGV[3])
local token = last_token()
local drawn = false
local now = now_us()

local function acquire(lock, ref)
  local stream, id = place(ref)
  local p = pending(stream, id)
  if not p or p[2] ~= consumer then return {'gone'} end
  local held = lock_value(lock)
  if held and string.sub(held, 1, #mine) == mine then
    redis.call('PEXPIRE', lock, ttl)
    return {'ok', string.sub(held, #mine + 1)}
  end
  if alive(lock) then return {'held'} end
  if pause then return {'paused'} end
  token = math.max(token + 1, now)
  drawn = true
  redis.call('SET', lock, mine .. whole(token), 'PX', ttl)
  return {'ok', whole(token)}
end

local result = {'ok'}
for i = LOCKS + 1, #KEYS do
  result[#result + 1] = outcome(acquire, KEYS[i], ARGV[4 + i - LOCKS])
end
if drawn then redis.call('HSET', CONTROL, 'token', whole(token)) end
return result
