-- KEYS  those of the partition
-- ARGV  epoch, lane, cursor, prefix of the locks, dlq_max_len, max fields, max bytes, ms since the last sweep to begin one
-- Every body up to the group's last-delivered id is pending, or another program has stranded it: deleted its consumer,
-- acknowledged it, or moved the group's position. Between two pending entries there is nothing then, which is cheap to see.
local against = not_now(ARGV[1])
if against then return against end
local stream, cursor, locks = ARGV[2] == 'front' and FRONT or INPUT, ARGV[3], ARGV[4]
local dlq_max_len, max_fields, max_bytes = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local WALK, STEP, MOST = 500, 4, 100
local start = now_us()
local now = now_ms()
if ARGV[8] ~= '' then
  local last = tonumber(redis.call('HGET', CONTROL, 'swept')) or 0
  if last <= now and now - last < tonumber(ARGV[8]) then return {'early'} end
end
-- With each page: a long walk is not joined by others.
redis.call('HSET', CONTROL, 'swept', whole(now))
-- A Go worker acknowledges before it deletes, and what it has finished would be queued again.
if GO then return {'ok', '', '0'} end

local group = group_of(stream)
if not group then return {'epoch'} end
local delivered = field(group, 'last-delivered-id')

local result, moved = {'ok', '', '0'}, 0

local function bring_back(id, fields)
  local ref = ref_in(stream, id)
  local lock = locks .. ref
  -- Its owner goes on with it, and can settle it.
  if alive(lock) then return {'alive'} end
  local names, values = counted(fields, id, 0, 0)
  local answer
  if fits(fields, max_fields, max_bytes) then
    answer = {'requeued', put_back(with(fields, names, values), ref, 0)}
  else
    answer = bury(dlq_max_len, fields, names, values, false, {_sh_reason = 'too_large',
      _sh_error = 'it was stranded by another program', _sh_last_id = id})
    ended(field(fields, '_sh_live'), ref)
  end
  note_moved(ref, answer[1] == 'requeued' and answer[2] or '')
  finish(stream, id, lock)
  return answer
end

-- False when this call has done enough.
local function sweep(from, to)
  while true do
    local found = redis.call('XRANGE', stream, from, to, 'COUNT', STEP)
    for _, entry in ipairs(found) do
      from = '(' .. entry[1]
      cursor = from
      budget = budget - size(entry[2])
      moved = moved + 1
      result[#result + 1] = {ref_in(stream, entry[1]), outcome(bring_back, entry[1], entry[2])}
    end
    if #found < STEP then return true end
    if budget <= 0 or moved >= MOST then return false end
  end
end

-- What was claimed by force before it was handed out is pending beyond that, and between the two waits the backlog.
local records = redis.call('XPENDING', stream, GROUP, cursor, delivered, WALK)
local enough = false
for _, record in ipairs(records) do
  if not sweep(cursor, '(' .. record[1]) then
    enough = true
    break
  end
  cursor = '(' .. record[1]
end
if not enough and #records < WALK then
  if sweep(cursor, delivered) then cursor = '' end
end
-- What the clock says, and at least what such a walk is known to take: where the clock stands still during a script
-- (Redis 7.2 and newer), nothing would be left between two pages.
result[2], result[3] = cursor, whole(math.max(now_us() - start, #records * 5 + moved * 20))
return result
