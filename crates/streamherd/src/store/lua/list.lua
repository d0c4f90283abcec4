-- KEYS  those of the partition
-- ARGV  epoch, consumer, lane, gate ms, cursor, least idle ms, how many ms ahead to look, prefix of the locks,
--       '1' to respect another's gate
-- The gate is taken in the same step as the listing: a worker that stalls after taking it has at least listed. Looking
-- at a dead lock makes Redis delete it, and so its expiry event fires for everyone.
if redis.call('GET', EPOCH) ~= ARGV[1] then return {'epoch'} end
local left = quiet()
if left > 0 then return {'quiet', left} end
local consumer, stream, gate = ARGV[2], ARGV[3] == 'front' and FRONT or INPUT, tonumber(ARGV[4])
local start = now_us()

-- Processor time so far, in us; nil where that is not to be told. On a machine that is short of it the clock says more, and
-- during a script it may stand still.
local function cpu_us()
  local info = redis.pcall('INFO', 'cpu')
  if type(info) ~= 'string' then return nil end
  local user, sys = string.match(info, 'used_cpu_user_main_thread:([%d.]+)'), string.match(info, 'used_cpu_sys_main_thread:([%d.]+)')
  return user and sys and (user + sys) * 1000000
end

-- How long until a delayed entry is due, -1 for never: told by the way, so that nobody has to ask for that alone.
local first = redis.pcall('ZRANGEBYSCORE', DELAYED, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local due = -1
if first.err then
  -- Whoever asks for it is told what is wrong.
  due = 0
elseif first[2] then
  due = math.min(math.max(tonumber(first[2]) - math.floor(start / 1000), 0), 86400000)
end
if ARGV[9] == '1' then
  local holder = redis.call('GET', SCAN)
  -- One without a time to live would stay shut for ever.
  if holder and holder ~= consumer and alive(SCAN) then return {'gate', due} end
end
redis.call('SET', SCAN, consumer, 'PX', gate)
-- About 2 ms.
local WALK = 800
local began = cpu_us()
local least_idle, ahead, locks = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
if stream == FRONT then locks = locks .. 'front:' end
-- Among Go workers it matters whether a lock was ever seen.
local from = GO and '0' or whole(math.max(least_idle - ahead, 0))
local records = redis.pcall('XPENDING', stream, GROUP, 'IDLE', from, ARGV[5], '+', WALK)
if records.err then
  if string.find(records.err, 'NOGROUP', 1, true) then return {'epoch'} end
  return records
end
local total = redis.call('XPENDING', stream, GROUP)[1]
local candidates, soonest, latest = {}, math.huge, -1
local cut
for i, record in ipairs(records) do
  local id, wait = record[1], least_idle - record[3]
  local ttl = remaining(locks .. id)
  if ttl > 0 then seen_alive(ref_in(stream, id), record[2]) end
  if ttl <= 0 and wait <= 0 then
    candidates[#candidates + 1] = id
  elseif ttl < ahead then
    -- Whose lock is so near its end has missed beats, and becomes an orphan when both are over.
    wait = math.max(wait, ttl, 0)
    if wait < soonest then soonest = wait end
    if wait > latest then latest = wait end
  end
  -- Large bodies, read for their names, are slow to pass through Lua.
  if named > 512 * 1024 and i < #records then
    cut = record[1]
    break
  end
end
local ended = began and cpu_us()
local cost = ended and ended - began or now_us() - start
local cursor = cut and '(' .. cut or #records == WALK and '(' .. records[WALK][1] or ''
if latest < 0 then soonest = -1 end
return {'ok', cursor, #records, whole(cost), candidates, total, soonest, latest, due}
