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
  local value = not pause and mine .. whole(math.max(token + 1, now)) or nil
  local got = take_lock(lock, mine, value, ttl)
  if got == nil then return {'held'} end
  if got == false then return {'paused'} end
  if got == value then
    token = math.max(token + 1, now)
    drawn = true
  end
  return {'ok', string.sub(got, #mine + 1)}
end

local result = {'ok'}
for i = LOCKS + 1, #KEYS do
  result[#result + 1] = outcome(acquire, KEYS[i], ARGV[4 + i - LOCKS])
end
if drawn then redis.call('HSET', CONTROL, 'token', whole(token)) end
return result
