-- What all scripts share; each is sent as its name, this text and its own.
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

-- Bytes of bodies that were read for their names alone, and whether what was found is kept.
local named, keeps_names = 0, true

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
    if keeps_names then redis.pcall('SET', PREFIX .. 'name:' .. ref, known, 'PX', 60000) end
  end
  return known ~= '' and known or nil
end
