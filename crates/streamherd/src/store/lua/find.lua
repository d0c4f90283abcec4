-- KEYS  those of the partition
-- ARGV  where ('front', 'input' or 'delayed'), cursor, most entries
-- A page of all entries there, pending or not, with what names each. Bodies may be large, so only that leaves here.
local where, cursor, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local room, found, looked, next_cursor = 256 * 1024, {}, 0, ''
-- Two milliseconds or so, as large bodies are slow to pass through Lua.
budget = 512 * 1024

-- False when this call has done enough.
local function note(ref, fields)
  looked = looked + 1
  local kind, name = called(fields)
  found[#found + 1] = {ref, kind, name}
  budget = budget - size(fields)
  room = room - #name - 50
  return budget > 0 and room > 0 and looked < most
end

if where == 'delayed' then
  -- From the one that is due last: what becomes due meanwhile doesn't move those that are still to be seen.
  for _, id in ipairs(redis.call('ZREVRANGE', DELAYED, cursor, tonumber(cursor) + most - 1)) do
    local _, fields = delayed_body(id)
    cursor = cursor + 1
    if not note('delayed:' .. id, fields or {}) then
      next_cursor = whole(cursor)
      break
    end
  end
  return {'ok', next_cursor, found}
end

local stream, step, biggest = where == 'front' and FRONT or INPUT, 1, 0
while true do
  local entries = redis.call('XRANGE', stream, cursor, '+', 'COUNT', step)
  for _, entry in ipairs(entries) do
    cursor = '(' .. entry[1]
    biggest = math.max(biggest, size(entry[2]))
    if not note(ref_in(stream, entry[1]), entry[2]) then return {'ok', cursor, found} end
  end
  if #entries < step then return {'ok', '', found} end
  step = biggest * 8 < budget and 8 or 1
end
