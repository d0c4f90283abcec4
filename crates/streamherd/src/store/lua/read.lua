-- KEYS  epoch front input
-- ARGV  epoch, consumer, most entries, most bytes
-- COUNT holds per stream, so one XREADGROUP over both lanes reads twice as much as is free, or leaves half of it unused
-- and half of the rest to the backlog. This fills the free slots, from the front as long as there is anything. In small
-- steps: turning bodies into Lua and back costs 7 ms of Redis per MB, and their size is known only when they are read.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'epoch'} end
local STEP = 4
local left, room = tonumber(ARGV[3]), tonumber(ARGV[4])
local result = {'ok', {}, {}}
for i = 2, 3 do
  local asked, got = 1, 1
  while got == asked and left > 0 and room > 0 do
    asked = math.min(STEP, left)
    local read = redis.pcall('XREADGROUP', 'GROUP', GROUP, ARGV[2], 'COUNT', asked, 'STREAMS', KEYS[i], '>')
    if read and read.err then
      if string.find(read.err, 'NOGROUP', 1, true) then return {'epoch'} end
      return read
    end
    local entries = read and read[1][2] or {}
    got = #entries
    for _, entry in ipairs(entries) do
      result[i][#result[i] + 1] = entry
      room = room - size(entry[2])
    end
    left = left - got
  end
end
return result
