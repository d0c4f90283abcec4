-- KEYS  those of the partition
-- ARGV  a fresh epoch id, lock_ttl ms, min_idle ms (0: does not scan), into how many partitions the service is divided (the
--       first partition keeps that; 0: any other), the epoch that the worker knows ('' at its start), '1' if the clock has
--       jumped under it
-- Makes the group and the epoch where either is missing. Whoever creates the group writes a fresh epoch in the same
-- step: a group without one would let workers go on with leases that the new group knows nothing of.
-- The epoch is an id and a generation. Under another generation of the same id the data is still there, but its last writes
-- may not be: everybody restores what they hold during the quiet time, in which nobody is handed anything. A generation is a
-- number and a random text: two servers that came back from one snapshot would count to the same number.
local expected = {'string', 'hash', 'stream', 'stream', 'stream', 'zset', 'hash', 'hash', 'hash', 'string'}
for i, wanted in ipairs(expected) do
  local key = KEYS[i]
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= wanted then
    return {'wrong_type', key, found, wanted}
  end
end

-- A user who may add but not acknowledge would multiply every orphan. So what the other scripts need is tried here on
-- things that don't exist, and whoever lacks a right does not start.
redis.call('XACK', INPUT, GROUP, '0-0')
redis.call('XDEL', INPUT, '0-0')
redis.call('DEL', NOTHING)
redis.call('PEXPIRE', NOTHING, 1)
redis.call('PTTL', NOTHING)
redis.call('XRANGE', NOTHING, '-', '+')
local read = redis.pcall('XREADGROUP', 'GROUP', GROUP, 'nobody', 'STREAMS', NOTHING, '>')
if not string.find(read.err or '', 'NOGROUP', 1, true) then return read end
local pends = redis.pcall('XPENDING', NOTHING, GROUP)
if not string.find(pends.err or '', 'NOGROUP', 1, true) then return pends end
local claims = redis.pcall('XCLAIM', NOTHING, GROUP, 'nobody', 0, '0-0')
if not string.find(claims.err or '', 'NOGROUP', 1, true) then return claims end
redis.call('SET', NOTHING, '', 'XX')
if GO then redis.call('SET', '<MUTEX_KEY_SEP>', '', 'XX') end
redis.call('XADD', NOTHING, 'NOMKSTREAM', '*', 'f', 'v')
redis.call('ZADD', NOTHING, 'XX', 0, 'm')
redis.call('ZREM', NOTHING, 'm')
redis.call('ZSCORE', NOTHING, 'm')
redis.call('ZRANGEBYSCORE', NOTHING, 0, 0)
redis.call('HGET', NOTHING, 'f')
redis.call('HSTRLEN', NOTHING, 'f')
redis.call('MGET', NOTHING)
redis.call('HDEL', NOTHING, 'f')

local now = now_ms()
local ttl, min_idle = tonumber(ARGV[2]), tonumber(ARGV[3])
local largest = largest_ttl(now)
if min_idle > 0 and largest > min_idle then
  return {'fleet_ttl', largest}
end

local partitions = tonumber(ARGV[4])
if partitions > 0 then
  local stored = tonumber(redis.call('HGET', CONTROL, 'partitions'))
  if stored and stored ~= partitions then return {'partitions', stored} end
  if not stored then redis.call('HSET', CONTROL, 'partitions', partitions) end
end

local created = false
for _, stream in ipairs({INPUT, FRONT}) do
  local r = redis.pcall('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
  if not r.err then
    created = true
  elseif not string.find(r.err, 'BUSYGROUP', 1, true) then
    return r
  end
end
-- Whether a worker has seen a later generation of the same id: the server went back to an earlier state unnoticed.
local function is_behind(epoch, known)
  local id, generation = string.match(epoch, '^([^.]*)%.(%d+)')
  local known_id, known_generation = string.match(known, '^([^.]*)%.(%d+)')
  return id ~= nil and id == known_id and epoch ~= known and tonumber(known_generation) >= tonumber(generation)
end

local function id_of(epoch)
  return string.match(epoch, '^[^.]*')
end

local known, jumped = ARGV[5], ARGV[6] == '1'
local epoch = redis.call('GET', EPOCH)
local this, before = run_id(), redis.call('HGET', CONTROL, 'run_id')
local unsettled = false
if created or not epoch then
  epoch = ARGV[1] .. '.0.' .. ARGV[1]
  -- A service that begins has nobody to wait for.
  unsettled = known ~= ''
  redis.call('SET', EPOCH, epoch)
elseif this and before and this ~= before or jumped and known == epoch or is_behind(epoch, known) then
  -- Before what follows. Interleaving: all is lost, a newcomer makes an epoch, that server fails over, and one who was away all
  -- the time is the first to say hello to the next: without another generation nobody would restore what the failover lost.
  local id, generation = string.match(epoch, '^([^.]*)%.?(%d*)')
  local seen = tonumber(string.match(known, '%.(%d+)')) or 0
  epoch = id .. '.' .. whole(math.max(tonumber(generation) or 0, seen) + 1) .. '.' .. ARGV[1]
  unsettled = true
  redis.call('SET', EPOCH, epoch)
elseif known ~= '' and id_of(known) ~= id_of(epoch) and not lock_value(LOST .. id_of(known)) then
  -- A newcomer, who can't know of a loss, made the epoch: this is the first of the old ones, and the others are on their way.
  unsettled = true
end
if known ~= '' and id_of(known) ~= id_of(epoch) then redis.call('SET', LOST .. id_of(known), '', 'PX', KEPT_MS) end
if this and this ~= before then redis.call('HSET', CONTROL, 'run_id', this) end
note_ttl(ttl, now)
-- Whoever has left took the name along; of others it can't be told whether they live. Interleaving: a service's first worker
-- comes, is handed a stream, and a failover loses all that; a newcomer finds nobody, and the stream waiting.
-- Go workers know of no quiet time, so there is none.
if unsettled and not GO and (known ~= '' or redis.call('HLEN', CONSUMERS) > 0
    or redis.call('XLEN', INPUT) + redis.call('XLEN', FRONT) + redis.call('ZCARD', DELAYED) > 0) then
  redis.call('HSET', CONTROL, 'quiet_until', whole(now + math.max(largest, ttl)))
end
return {'ok', epoch, quiet(), whole(now_us())}
