-- KEYS  those of the partition
-- ARGV  '1' to only say what would be done, max fields, max bytes, then ids of letters
-- A letter goes to the front of the queue as if it had never failed. Rivals run this one after the other; the first finds
-- the letter, and the others find it gone. It leaves the dead letters last, so that nothing that raises can lose it.
local dry, max_fields, max_bytes = ARGV[1] == '1', tonumber(ARGV[2]), tonumber(ARGV[3])
local COUNTERS = {_retry_count = true, _sh_failures = true, _sh_abandonments = true}
-- What the counters need when they are back.
local SPARE = 128

local function without(fields, names)
  local out = {}
  for i = 1, #fields, 2 do
    if not names[fields[i]] then
      out[#out + 1] = fields[i]
      out[#out + 1] = fields[i + 1]
    end
  end
  return out
end

-- What is queued for a letter: all of it, why it died included, but not how often it was tried. Nil where no reader would
-- take that. Its last error is given up where the entry has no room for it.
local function revived(letter)
  if field(letter, '_sh_packed') then return nil end
  local times = whole(counter(letter, '_sh_redriven') + 1)
  local fields = with(letter, {'_sh_redriven'}, {_sh_redriven = times})
  if not fits(fields, max_fields, max_bytes - SPARE) then
    fields = without(fields, {_sh_error = true})
    if not fits(fields, max_fields, max_bytes - SPARE) then return nil end
  end
  return without(fields, COUNTERS)
end

local function redrive(id)
  if budget <= 0 then return {'later'} end
  local letter = body(DLQ, id)
  if not letter then return {'gone'} end
  budget = budget - size(letter)
  local fields = revived(letter)
  if not fields then return {'too_large'} end
  local name = field(fields, '_sh_live')
  if name == '' then name = nil end
  if dry then
    local stands, live = 'new', nil
    if name then stands, live = standing(name, true) end
    return {stands, stands == 'coalesced' and live[1] or nil}
  end
  local answer
  if name then
    answer = want(name, fields, 0, FRONT, true)
  else
    answer = {'new', put(fields, FRONT, 0)}
  end
  if answer[1] ~= 'superseded' then redis.call('XDEL', DLQ, id) end
  return answer
end

local result = {'ok'}
for i = 4, #ARGV do result[#result + 1] = outcome(redrive, ARGV[i]) end
return result
