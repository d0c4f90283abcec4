-- What all scripts share; each is sent as its name, this text and its own.
-- Longer than 400 lines: all of it stands before every script, as one scope of locals that use each other.
-- Every batch script keeps the order guard, read, write the new, acknowledge the old: a script that raises keeps what
-- it wrote so far, so whatever goes wrong in between leaves the old entry pending and nothing lost.
-- All keys of a partition, the same in every script; where a script has to do with a few locks, they follow. The last is the
-- lock of no entry, which never is there: while the slot migrates, Redis refuses a script as soon as one of its keys is missing,
-- so all are refused from the first moment on. Otherwise locks that have gone ahead would seem to have expired, and what is read
-- could not be locked.
local EPOCH, CONTROL, INPUT, FRONT, DLQ, DELAYED, BODIES, LIVE, CONSUMERS, SCAN, NOTHING = unpack(KEYS, 1, 11)
local LOCKS = 11
-- The layout that Go workers share, whose keys have no hash tag.
local GO = string.sub(EPOCH, 1, 1) ~= '{'
local GROUP = GO and string.sub(INPUT, 1, -1 - #'input') .. 'group' or 'workers'
-- Keys of the same slot whose names only a script knows.
local PREFIX = string.sub(EPOCH, 1, -1 - #'epoch')
local LOCK, LOST = PREFIX .. 'lock:', PREFIX .. 'lost:'
local MOVED, WRITTEN = PREFIX .. 'moved:', PREFIX .. 'written:'

-- The stream and the stream id behind an entry's text form.
local function place(ref)
  local id = string.match(ref, '^front:(.+)$')
  if id then return FRONT, id end
  return INPUT, ref
end

local function ref_in(stream, id)
  return stream == FRONT and 'front:' .. id or id
end

local function now_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local function whole(n)
  return string.format('%.0f', n)
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

-- The flat list of fields and values, or nil where the body is gone.
local function body(stream, id)
  local found = redis.call('XRANGE', stream, id, id)[1]
  return found and found[2]
end

-- The first field of a name is the one that counts, here as in the library.
local function field(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
end

local function lock_value(lock)
  local v = redis.pcall('GET', lock)
  if type(v) == 'string' then return v end
  return nil
end

-- The data stream as Go reads it: a key in any case, the last field of a name. Nil where there is none, and where there are
-- several or no text, of which Go makes something else: then nobody knows what it locks.
local function go_name(fields)
  local input, several
  for i = 1, #fields, 2 do
    if fields[i] == 'lbs-input' then input, several = fields[i + 1], input end
  end
  if not input or several then return nil end
  -- As nearly all producers write it; anything else is decoded.
  local name, rest = string.match(input, '^{"DataStreamName":"([^"\\]+)"(.*)$')
  if not name or string.find(string.lower(rest), 'datastreamname', 1, true) then
    local ok, message = pcall(cjson.decode, input)
    if not ok or type(message) ~= 'table' then return nil end
    name = nil
    for key, value in pairs(message) do
      if type(key) == 'string' and string.lower(key) == 'datastreamname' then
        if name ~= nil then return nil end
        name = value
      end
    end
  end
  if type(name) ~= 'string' or name == '' or string.find(name, '\237[\160-\191]') then return nil end
  local rest_of = string.gsub(name, '[%z\1-\127]+', '')
  for _, valid in ipairs({'[\194-\223][\128-\191]', '[\224-\239][\128-\191][\128-\191]',
    '[\240-\244][\128-\191][\128-\191][\128-\191]'}) do
    rest_of = string.gsub(rest_of, valid, '')
  end
  return rest_of == '' and name or nil
end

-- Bytes of bodies that were read for their names alone.
local named = 0

-- Beside each lock of ours stands the one that Go workers know the entry by: whoever has either has the entry. Nil where there
-- is none: in the native layout, and for what no Go worker would take. A body may be large, and locks are looked at often, so
-- what was found is kept for a while; '' stands for none.
local function go_lock(lock)
  if not GO or string.sub(lock, 1, #LOCK) ~= LOCK then return nil end
  local ref = string.sub(lock, #LOCK + 1)
  local known = lock_value(PREFIX .. 'name:' .. ref)
  if not known then
    local stream, id = place(ref)
    local fields = stream == INPUT and body(stream, id)
    if not fields then return nil end
    for i = 1, #fields do named = named + #fields[i] end
    local name = go_name(fields)
    known = name and name .. '<MUTEX_KEY_SEP>' .. id or ''
    -- Who only looks may have no right to it.
    redis.pcall('SET', PREFIX .. 'name:' .. ref, known, 'PX', 60000)
  end
  return known ~= '' and known or nil
end

-- How many ms a lock has to live, 0 or less where it is absent. One without a time to live would hold its entry for ever, so it
-- counts as absent; one of another type counts by its time to live like any other.
local function remaining(lock)
  local left = redis.call('PTTL', lock)
  local go = left <= 0 and go_lock(lock)
  return go and redis.call('PTTL', go) or left
end

local function alive(lock)
  return remaining(lock) > 0
end

local function set_lock(lock, value, ttl)
  redis.call('SET', lock, value, 'PX', ttl)
  local go = go_lock(lock)
  if go then redis.call('SET', go, value, 'PX', ttl) end
end

-- A lock that holds this value lives on. A Go worker's lock is never touched.
local function extend_lock(lock, value, ttl)
  redis.call('PEXPIRE', lock, ttl)
  local go = go_lock(lock)
  if not go then return end
  if not redis.call('SET', go, value, 'NX', 'PX', ttl) and lock_value(go) == value then
    redis.call('PEXPIRE', go, ttl)
  end
  redis.call('PEXPIRE', PREFIX .. 'name:' .. string.sub(lock, #LOCK + 1), math.max(60000, 2 * ttl))
end

-- {id, consumer, idle in ms, deliveries} or nil. Raises NOGROUP.
local function pending(stream, id)
  return redis.call('XPENDING', stream, GROUP, id, id, 1)[1]
end

-- Which process this server is; nil where that is not to be told.
local function run_id()
  local info = redis.pcall('INFO', 'server')
  if type(info) ~= 'string' then return nil end
  return string.match(info, 'run_id:(%x+)')
end

-- Whether hello was said to this very server. A promoted replica, or one that came back from a snapshot, may lack the last
-- writes: what it says of a lease is not to be believed, and nothing is to be handed out, before hello has been said and
-- all owners have had the quiet time to restore what they hold.
local function is_known_server()
  local known = redis.call('HGET', CONTROL, 'run_id')
  local this = known and run_id()
  return not this or this == known
end

-- How long nothing is to be handed out, in ms. More than a lock_ttl is left of a clock that has gone back since, and more than
-- any lock lives is another program's.
local function quiet()
  local said = redis.call('HMGET', CONTROL, 'quiet_until', 'lock_ttl')
  local left = (tonumber(said[1]) or 0) - now_ms()
  if left > (tonumber(said[2]) or math.huge) or left > 86400000 then return 0 end
  return math.max(left, 0)
end

-- What stands against handing out work: another epoch, another server, the quiet time. Nil if nothing does.
local function not_now(epoch)
  if redis.call('GET', EPOCH) ~= epoch or not is_known_server() then return {'epoch'} end
  local left = quiet()
  if left > 0 then return {'quiet', left} end
end

-- The fleet's largest lock_ttl, in ms, forgotten when no worker that uses it has given a sign of life for a while.
local function largest_ttl(now)
  local stored = redis.call('HMGET', CONTROL, 'lock_ttl', 'lock_ttl_until')
  if (tonumber(stored[2]) or 0) < now then return 0 end
  return tonumber(stored[1]) or 0
end

local function note_ttl(ttl, now)
  if ttl >= largest_ttl(now) then
    redis.call('HSET', CONTROL, 'lock_ttl', ttl, 'lock_ttl_until', whole(now + math.max(600000, 10 * ttl)))
  end
end

-- The one rule of ownership: the lock holds my value, or it is absent and the entry is pending under my name.
-- Without a value (an entry of which this process made no lease) any lock of this consumer is mine: an acquisition whose
-- reply was lost has set it.
local function is_mine(lock, value, stream, id, consumer)
  local held = lock_value(lock)
  if value ~= '' then
    if held == value then return true end
    if alive(lock) then return false end
  elseif alive(lock) and not (held and string.sub(held, 1, #consumer + 1) == consumer .. ':') then
    return false
  end
  local p = pending(stream, id)
  return p ~= nil and p[2] == consumer
end

-- The last token that was drawn. What another program has made of it counts for nothing where it is no whole number that Lua
-- can count on from: two leases would get equal ones.
local function last_token()
  local stored = tonumber(redis.call('HGET', CONTROL, 'token'))
  return stored and stored >= 0 and stored < 2 ^ 52 and stored or 0
end

-- Whether the service, this consumer, or all consumers of its name are to take no new work.
local function paused(consumer, name)
  for _, pause in ipairs(redis.call('HMGET', CONTROL, 'paused', 'paused:' .. consumer, 'paused:' .. name)) do
    if pause then return true end
  end
  return false
end

-- Locks an entry for this consumer: what the lock holds now, which is an earlier value of its own where an acquisition was not
-- answered; nil where another's lives. Without a new value nothing is locked, and false said where it could be.
local function take_lock(lock, mine, value, ttl)
  if value and not GO and redis.call('SET', lock, value, 'NX', 'PX', ttl) then return value end
  local held = lock_value(lock)
  if held and string.sub(held, 1, #mine) == mine then
    extend_lock(lock, held, ttl)
    return held
  end
  if alive(lock) then return nil end
  if not value then return false end
  set_lock(lock, value, ttl)
  return value
end

-- What names the data stream: the text itself where the entry takes part in coalescing; else the beginning of its JSON, as
-- decoding all of a foreign body here could take long.
local function called(fields)
  local name
  for i = 1, #fields, 2 do
    if fields[i] == '_sh_live' then return 'name', string.sub(fields[i + 1], 1, 8192) end
    if fields[i] == 'lbs-input' then name = name or string.sub(fields[i + 1], 1, 8192) end
  end
  return 'json', name or ''
end

local function size(fields)
  local bytes = 0
  for i = 1, #fields do bytes = bytes + #fields[i] end
  return bytes
end

-- What Redis says of the group of a stream; nil where there is none.
local function group_of(stream)
  if redis.call('TYPE', stream).ok == 'none' then return nil end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    if field(group, 'name') == GROUP then return group end
  end
end

local function counter(fields, name)
  local v = field(fields, name)
  if v and string.match(v, '^%d+$') and #v < 10 then return tonumber(v) end
  return 0
end

-- A copy of the fields with some of them set; all others, known or not, stay as and where they are.
local function with(fields, names, values)
  local out, done = {}, {}
  for i = 1, #fields, 2 do
    local name = fields[i]
    if values[name] == nil then
      out[#out + 1] = name
      out[#out + 1] = fields[i + 1]
    elseif not done[name] then
      done[name] = true
      out[#out + 1] = name
      out[#out + 1] = values[name]
    end
  end
  for _, name in ipairs(names) do
    if not done[name] then
      out[#out + 1] = name
      out[#out + 1] = values[name]
    end
  end
  return out
end

-- Counters and provenance as they are after one more hand-back. `failed` and `abandoned` are 0 or 1.
local function counted(fields, id, failed, abandoned)
  local failures = counter(fields, '_sh_failures') + failed
  local abandonments = counter(fields, '_sh_abandonments') + abandoned
  local names = {'_retry_count', '_sh_failures', '_sh_abandonments', '_sh_origin', '_sh_first_seen'}
  local values = {
    _retry_count = tostring(counter(fields, '_retry_count') + failed + abandoned),
    _sh_failures = tostring(failures),
    _sh_abandonments = tostring(abandonments),
    _sh_origin = field(fields, '_sh_origin') or id,
    _sh_first_seen = field(fields, '_sh_first_seen') or string.match(id, '^%d+'),
  }
  return names, values, failures, abandonments
end

-- The abandonments so far taken back.
local function forgive(fields)
  local left = counter(fields, '_retry_count') - counter(fields, '_sh_abandonments')
  local names = {'_retry_count', '_sh_abandonments'}
  return with(fields, names, {_retry_count = tostring(math.max(left, 0)), _sh_abandonments = '0'})
end

-- Lua can't pass more than about 3,990 fields to a command, so an entry above the limits travels in one field. What a
-- re-queue adds doesn't count against an entry that was within the limits when it was submitted.
local function fits(fields, max_fields, max_bytes)
  if field(fields, '_sh_origin') then
    max_fields, max_bytes = max_fields + 16, max_bytes + 4096
  end
  return #fields / 2 <= max_fields and size(fields) <= max_bytes
end

-- Adds a dead letter and says so: {'dead', its id, reason, how many older ones were trimmed for it}.
local function bury(max_len, fields, names, values, fit, letter)
  for name, value in pairs(letter) do
    names[#names + 1] = name
    values[name] = value
  end
  names[#names + 1] = '_sh_at'
  values._sh_at = whole(now_ms())
  local record = with(fit and fields or {'_sh_packed', cmsgpack.pack(fields)}, names, values)
  local before = redis.call('XLEN', DLQ)
  local id
  if max_len > 0 then
    id = redis.call('XADD', DLQ, 'MAXLEN', '~', max_len, '*', unpack(record))
  else
    id = redis.call('XADD', DLQ, '*', unpack(record))
  end
  return {'dead', id, letter._sh_reason, before + 1 - redis.call('XLEN', DLQ)}
end

-- The lock of an entry, and the one that Go workers know it by unless that holds another's value. While there is a body to
-- name it.
local function unlock(lock)
  local go = go_lock(lock)
  local value = go and lock_value(lock)
  if value and lock_value(go) == value then redis.call('DEL', go) end
  redis.call('DEL', lock)
  if GO then redis.call('DEL', PREFIX .. 'name:' .. string.sub(lock, #LOCK + 1)) end
end

local function finish(stream, id, lock)
  if GO then unlock(lock) end
  redis.call('XACK', stream, GROUP, id)
  redis.call('XDEL', stream, id)
  redis.call('DEL', lock)
end

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

-- Takes a consumer's name out of both groups and out of the registry, unless something is pending under it. Returns how
-- much is. DELCONSUMER destroys pending entries, so it runs only in the step that saw there are none; a consumer that is
-- alive after all is made again by its next read.
local function remove_consumer(consumer)
  local left = 0
  for _, stream in ipairs({INPUT, FRONT}) do
    local p = redis.pcall('XPENDING', stream, GROUP, '-', '+', 1, consumer)
    if not p.err then left = left + #p end
  end
  if left > 0 then return left end
  for _, stream in ipairs({INPUT, FRONT}) do redis.pcall('XGROUP', 'DELCONSUMER', stream, GROUP, consumer) end
  redis.call('HDEL', CONSUMERS, consumer, consumer .. ':last')
  redis.call('HDEL', CONTROL, 'paused:' .. consumer)
  redis.call('DEL', PREFIX .. 'progress:' .. consumer)
  return 0
end

-- {number, outcomes} of a consumer's last settlement batch. Nil where another program has spoilt it, as where it is missing: the
-- guard of each entry says what has become of it.
local function last_receipt(consumer)
  local stored = redis.call('HGET', CONSUMERS, consumer .. ':last')
  if not stored then return nil end
  local ok, last = pcall(cmsgpack.unpack, stored)
  if ok and type(last) == 'table' and type(last[1]) == 'number' and type(last[2]) == 'table' then return last end
end

-- Redis 7 raises tables, Redis 6.2 strings.
local function message(e)
  if type(e) == 'table' then return e.err or 'error' end
  return tostring(e)
end

-- Runs `step` for one entry of a batch: what it raises becomes this entry's outcome and doesn't stop the others.
local function outcome(step, ...)
  local ok, result = pcall(step, ...)
  if ok then return result end
  local text = message(result)
  if string.find(text, 'NOGROUP', 1, true) then return {'nogroup'} end
  return {'error', text}
end
