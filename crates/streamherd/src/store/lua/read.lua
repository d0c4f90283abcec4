-- KEYS  epoch front input
-- ARGV  epoch, consumer, most entries
-- COUNT holds per stream, so one XREADGROUP over both lanes reads twice as much as is free, or leaves half of it unused
-- and half of the rest to the backlog. This fills all free slots, from the front as long as there is anything.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'epoch'} end
local left = tonumber(ARGV[3])
local result = {'ok', {}, {}}
for i = 2, 3 do
  if left > 0 then
    local read = redis.pcall('XREADGROUP', 'GROUP', GROUP, ARGV[2], 'COUNT', left, 'STREAMS', KEYS[i], '>')
    if read and read.err then
      if string.find(read.err, 'NOGROUP', 1, true) then return {'epoch'} end
      return read
    end
    if read then
      result[i] = read[1][2]
      left = left - #result[i]
    end
  end
end
return result
