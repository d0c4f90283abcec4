-- KEYS  those of the partition
-- ARGV  epoch ('' where there was none), run_id ('' if unknown), then per stream: reference, original id ('' where its
--       submit was coalesced with another), '1' if it was noted as wanted once more, the name it is coalesced by ('' for a
--       run of its own), digest of its lbs-input, digest of what the same producer submitted before under that name (''),
--       'after' or 'at', so many ms, lbs-input, traceparent ('' for none)
-- Queues once more what a producer has submitted and this store has lost. Guarded by the store that was looked at, and only
-- when everybody has restored what they hold.
-- Interleavings: a worker holds it, or has given it up, and has written it back: T:written says so, also when it is finished
-- by now. A worker does so later: it finds this note, under the lowest token there is, and takes away what was queued. The
-- answer to this call is lost: the note says where it is.
if (redis.call('GET', EPOCH) or '') ~= ARGV[1] then return {'changed'} end
if ARGV[2] ~= '' and (run_id() or ARGV[2]) ~= ARGV[2] then return {'changed'} end
local left = quiet()
if left > 0 then return {'quiet', left} end

-- Of two that one producer submitted the later one counts; a wish of anybody else's is newer than both.
local function gives_way(name, older)
  local live = live_of(name)
  return not (older ~= '' and live and live[2] and digest(live[2]) == older)
end

local function resubmit(ref, origin, noted, name, sum, older, when, ms, input, trace)
  if budget <= 0 then return {'later'} end
  budget = budget - #input
  local stands = kept_as(ref, name, sum)
  -- A run that had begun doesn't serve what was noted after it.
  if stands ~= 'gone' and not (stands == 'held' and noted) then return {'there'} end
  if origin ~= '' then
    local way, there = may_write(origin, 0)
    if way == 'taken' then return there == '' and {'finished'} or {'taken', there} end
  end
  local due = tonumber(ms)
  -- Rounded up, so that it is never early.
  if when == 'after' then due = due > 0 and math.ceil(now_us() / 1000) + due or 0 end
  local fields = {'lbs-input', input}
  if origin ~= '' then
    fields = {'lbs-input', input, '_sh_origin', origin, '_sh_first_seen', string.match(origin, '^%d+')}
  end
  if trace ~= '' then
    fields[#fields + 1] = '_sh_traceparent'
    fields[#fields + 1] = trace
  end
  if name == '' then
    local new = put(fields, INPUT, due)
    if origin ~= '' then note_written(origin, 0, new) end
    return {'new', new}
  end
  fields[#fields + 1] = '_sh_live'
  fields[#fields + 1] = name
  local answer = want(name, fields, due, INPUT, gives_way(name, older))
  -- What it was coalesced with is somebody else's, and not to be taken away in its place.
  if answer[1] == 'new' and origin ~= '' then note_written(origin, 0, answer[2]) end
  return answer
end

local result = {'ok'}
for i = 3, #ARGV, 10 do
  result[#result + 1] = outcome(resubmit, ARGV[i], ARGV[i + 1], ARGV[i + 2] == '1', unpack(ARGV, i + 3, i + 9))
end
return result
