-- Follows lib.lua where it matters whether a Go worker lives, and what it can read.

-- Go workers keep no registry, beat once a second on locks of two seconds, make a lapsed one anew, and unlock before they
-- acknowledge: an absent lock is a sign of death only where it was absent in two looks some time apart. And they read all that
-- waits at once and lock one after the other: what was never seen locked is theirs for as long as they leave it to each other
-- when one starts. Says how many ms are left of that; `all` treats other workers so, too.
-- Interleavings: a Go worker is done and has unlocked; taken for dead between that and its XACK, its finished work would be
-- queued again. A Go worker is busy with the first thousand of a backlog; the others would be queued again, and it would run
-- them as well.
local GO_GRACE_MS, GO_IDLE_MS = 4000, 40000
local ABSENT = PREFIX .. 'absent:'

local function note_lock(ref, said)
  redis.call('SET', ABSENT .. ref, said, 'PX', 600000)
end

local function is_go_worker(owner)
  return GO and redis.call('HSTRLEN', CONSUMERS, owner) == 0
end

local function go_wait(ref, record, all)
  local go = is_go_worker(record[2])
  if not go and not all then return 0 end
  local now = now_ms()
  local said = lock_value(ABSENT .. ref)
  local since = tonumber(said or '')
  -- A clock that has gone back begins it anew.
  local grace = go and GO_GRACE_MS or math.max(GO_GRACE_MS, largest_ttl(now))
  if since and since <= now then return math.max(since + grace - now, 0) end
  if go and not said and record[3] < GO_IDLE_MS then return GO_IDLE_MS - record[3] end
  note_lock(ref, whole(now))
  return grace
end

local function seen_alive(ref, owner)
  if is_go_worker(owner) then note_lock(ref, 'alive') end
end

-- Whether Go workers go on after reading this; else it ends one after the other.
local function go_reads(fields)
  local input = field(fields, 'lbs-input')
  if not input then return false end
  if string.find(input, '^{"DataStreamName":"[^"\\]+","Info":[{n]') then return true end
  local ok, message = pcall(cjson.decode, input)
  if not ok or type(message) ~= 'table' then return false end
  local named_at_all = false
  for key, value in pairs(message) do
    local name = type(key) == 'string' and string.lower(key)
    if name == 'datastreamname' then named_at_all = type(value) == 'string' and value ~= '' end
    if name == 'info' and (type(value) == 'table' and value[1] ~= nil or type(value) ~= 'table' and value ~= cjson.null) then
      return false
    end
  end
  return named_at_all
end
