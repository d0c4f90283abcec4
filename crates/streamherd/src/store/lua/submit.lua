-- KEYS  those of the partition
-- ARGV  packed, of each stream: when ('now', 'after' or 'at'), that many ms, the name to coalesce by ('' for a run of its
--       own), its lbs-input; then, if any of them has one, packed, the traceparent of each ('' for none)
-- Answers as many of them as one call may take, in their order.
-- With a name this is the same however often it is sent: a submit whose reply was lost finds what it has queued.
local wishes = cmsgpack.unpack(ARGV[1])
local traces = ARGV[2] and cmsgpack.unpack(ARGV[2]) or {}
local MOST_LOOKED = 1024 * 1024
-- A name that comes twice is new once.
local added, known = {}, {}

-- What was added is known by its name before anybody looks at one.
local function note_added()
  if #added > 0 then redis.call('HSET', LIVE, unpack(added)) end
  added = {}
end

local function traced(fields, trace)
  if trace then
    fields[#fields + 1] = '_sh_traceparent'
    fields[#fields + 1] = trace
  end
  return fields
end

local function submit(trace, when, ms, name, input)
  if trace == '' then trace = nil end
  if when == 'now' and name == '' then
    if trace then return {'new', redis.call('XADD', INPUT, '*', 'lbs-input', input, '_sh_traceparent', trace)} end
    return {'new', redis.call('XADD', INPUT, '*', 'lbs-input', input)}
  end
  if when == 'now' and not known[name] and redis.call('HSTRLEN', LIVE, name) == 0 then
    known[name] = true
    local ref
    if trace then
      ref = redis.call('XADD', INPUT, '*', 'lbs-input', input, '_sh_live', name, '_sh_traceparent', trace)
    else
      ref = redis.call('XADD', INPUT, '*', 'lbs-input', input, '_sh_live', name)
    end
    added[#added + 1] = name
    added[#added + 1] = cmsgpack.pack({ref})
    return {'new', ref}
  end
  -- Whatever stands for the name is read, and may be as large as an entry.
  if looked > MOST_LOOKED then return nil end
  note_added()
  known[name] = true
  local due = 0
  if when == 'after' then
    -- Rounded up, so that it is never early.
    due = math.ceil(now_us() / 1000) + tonumber(ms)
  elseif when == 'at' then
    due = tonumber(ms)
  end
  if name == '' then return {'new', put(traced({'lbs-input', input}, trace), INPUT, due)} end
  return want(name, traced({'lbs-input', input, '_sh_live', name}, trace), due, INPUT)
end

local result = {}
for i = 1, #wishes, 4 do
  local became = outcome(submit, traces[(i + 3) / 4] or '', unpack(wishes, i, i + 3))
  -- What follows is left for another call, in its order.
  if not became then break end
  -- As words in one text, of which the last may hold spaces.
  result[#result + 1] = table.concat({became[3] or became[1], became[2]}, ' ')
end
note_added()
return {'ok', cmsgpack.pack(result)}
