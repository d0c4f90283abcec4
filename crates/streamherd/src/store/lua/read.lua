-- KEYS  those of the partition
-- ARGV  epoch, consumer, its name, most entries, most bytes
-- COUNT holds per stream, so one XREADGROUP over both lanes reads twice as much as is free, or leaves half of it unused
-- and half of the rest to the backlog. This fills the free slots, from the front as long as there is anything. In small
-- steps, as large bodies are slow to pass through Lua, and their size is known only when they are read.
if redis.call('GET', EPOCH) ~= ARGV[1] then return {'epoch'} end
local left = quiet()
if left > 0 then return {'quiet', left} end
if paused(ARGV[2], ARGV[3]) then return {'paused'} end
local STEP = 4
local left, room, biggest = tonumber(ARGV[4]), tonumber(ARGV[5]), nil
local result = {'ok', {}, {}}
for i, stream in ipairs({FRONT, INPUT}) do
  local asked, got = 0, 0
  while got == asked and left > 0 and room > 0 do
    asked = biggest and biggest * STEP < room and math.min(STEP, left) or 1
    local read = redis.pcall('XREADGROUP', 'GROUP', GROUP, ARGV[2], 'COUNT', asked, 'STREAMS', stream, '>')
    if read and read.err then
      if string.find(read.err, 'NOGROUP', 1, true) then return {'epoch'} end
      return read
    end
    local entries = read and read[1][2] or {}
    got = #entries
    for _, entry in ipairs(entries) do
      local bytes = size(entry[2])
      biggest = math.max(biggest or 0, bytes)
      room = room - bytes
      result[i + 1][#result[i + 1] + 1] = entry
    end
    left = left - got
  end
end
return result
