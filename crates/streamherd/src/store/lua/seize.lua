-- KEYS  those of the partition
-- ARGV  epoch, consumer, its name, ttl ms, after which id of front and of input to look
-- Locks what a blocked read, right before this on the same connection, has given to this consumer. Which entry that is
-- nobody knows when this is sent: it is the first one pending for this consumer after all that it knows of. A round trip less
-- than `acquire`, and without what scripts share, as somebody waits: a script that is seldom run pays for each of its lines. It
-- only ever makes a lock where there is none; all other cases, and every reason not to, are left to `acquire`.
local EPOCH, CONTROL, INPUT, FRONT = unpack(KEYS, 1, 4)
if redis.call('GET', EPOCH) ~= ARGV[1] then return {'epoch'} end
local consumer = ARGV[2]
local said = redis.call('HMGET', CONTROL, 'run_id', 'quiet_until', 'token', 'paused', 'paused:' .. consumer,
  'paused:' .. ARGV[3])
if said[4] or said[5] or said[6] then return {'paused'} end
local info = redis.pcall('INFO', 'server')
if said[1] and type(info) == 'string' and string.match(info, 'run_id:(%x+)') ~= said[1] then return {'epoch'} end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
-- One that lies too far ahead is another program's, which `acquire` knows.
if (tonumber(said[2]) or 0) > now / 1000 then return {'quiet'} end
local last = tonumber(said[3])
local token = math.max((last and last >= 0 and last < 2 ^ 52 and last or 0) + 1, now)

local result = {'ok'}
-- Where Go workers have locks of their own, all is left to it.
for i, stream in ipairs(string.sub(EPOCH, 1, 1) == '{' and {FRONT, INPUT} or {}) do
  local p = redis.call('XPENDING', stream, 'workers', '(' .. ARGV[4 + i], '+', 1, consumer)[1]
  if p then
    local ref = stream == FRONT and 'front:' .. p[1] or p[1]
    local text = string.format('%.0f', token)
    redis.call('HSET', CONTROL, 'token', text)
    if redis.call('SET', string.sub(EPOCH, 1, -6) .. 'lock:' .. ref, consumer .. ':' .. text, 'NX', 'PX', ARGV[4]) then
      result[#result + 1] = {ref, text}
    end
    token = token + 1
  end
end
result[#result + 1] = string.format('%.0f', now)
return result
