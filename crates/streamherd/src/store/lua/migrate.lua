-- KEYS  those of the layout that Go workers share, then those of a native partition
-- ARGV  '1' to only say what would be done, least idle ms, then what is to be moved: entries, 'delayed:<id>', 'letter:<id>'
-- On one server, where one script can take from the one and give to the other. Each is there before it is taken away, so that
-- nothing that raises can lose it; rivals, workers included, run this one after the other, and find gone what was moved.
local dry, least_idle = ARGV[1] == '1', tonumber(ARGV[2])
keeps_names = not dry

-- A user who may add and not take away would double everything, so that is tried first, on things that don't exist.
redis.call('XACK', INPUT, GROUP, '0-0')
redis.call('XDEL', INPUT, '0-0')
redis.call('XDEL', DLQ, '0-0')
redis.call('DEL', NOTHING, '<MUTEX_KEY_SEP>')
redis.call('ZREM', DELAYED, '')
redis.call('HDEL', BODIES, '')

-- What all scripts share works on the keys that these names stand for.
local function on_layout(go, first)
  EPOCH, CONTROL, INPUT, FRONT, DLQ, DELAYED, BODIES, LIVE, CONSUMERS, SCAN, NOTHING = unpack(KEYS, first, first + LOCKS - 1)
  GO = go
end

local function natively(step, ...)
  on_layout(false, LOCKS + 1)
  local ok, result = pcall(step, ...)
  on_layout(true, 1)
  if not ok then error(result, 0) end
  return result
end

-- Up to where the group has handed out; nil where nobody ever read.
local group = group_of(INPUT)
local delivered = group and field(group, 'last-delivered-id')

local function entry(ref)
  local lock, record = LOCK .. ref, group and pending(INPUT, ref)
  if alive(lock) then
    if not dry then note_lock(ref, 'alive') end
    return {'held'}
  end
  budget = budget - named
  named = 0
  -- Also where the owner is no Go worker: its lock may be missing as the clock has jumped, or the last writes are.
  if record and math.max(least_idle - record[3], dry and 0 or go_wait(ref, record, true)) > 0 then return {'held'} end
  local fields = body(INPUT, ref)
  if not fields then return {'gone'} end
  budget = budget - size(fields)
  if record then
    local names, values = counted(fields, ref, 0, 1)
    fields = with(fields, names, values)
  elseif delivered and #redis.call('XRANGE', INPUT, ref, delivered, 'COUNT', 1) > 0 then
    -- A Go worker was done and did not get to delete it; or it was queued before Go made the group, at the end.
    return {'finished'}
  end
  if not dry then
    natively(function() return put(fields, INPUT, 0) end)
    finish(INPUT, ref, lock)
  end
  return {record and 'orphan' or 'queued'}
end

local function delayed(id)
  local _, fields = delayed_body(id)
  local due = redis.call('ZSCORE', DELAYED, id)
  if not due then return {'gone'} end
  if not fields then return {'error', 'another program has spoilt or removed its fields'} end
  budget = budget - size(fields)
  if not dry then
    -- What failed before waits for its retry.
    local retried = counter(fields, '_retry_count') > 0
    natively(function() return put(fields, retried and FRONT or INPUT, tonumber(due)) end)
    forget_delayed(id)
  end
  return {'delayed'}
end

local function letter(id)
  local fields = body(DLQ, id)
  if not fields then return {'gone'} end
  budget = budget - size(fields)
  if not dry then
    natively(function() return redis.call('XADD', DLQ, '*', unpack(fields)) end)
    redis.call('XDEL', DLQ, id)
  end
  return {'letter'}
end

local function move(ref)
  if budget <= 0 then return {'later'} end
  local kind, id = string.match(ref, '^(%a+):(.+)$')
  if kind == 'delayed' then return delayed(id) end
  if kind == 'letter' then return letter(id) end
  return entry(ref)
end

local result = {'ok'}
for i = 3, #ARGV do result[#result + 1] = outcome(move, ARGV[i]) end
return result
