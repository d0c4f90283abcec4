-- KEYS  those of the partition
-- ARGV  for how many ms a census is good
-- Whoever asks first counts, and the others are told the same: each worker of a fleet knows, and one of them pays.
local now = now_ms()
local stored = redis.call('HGET', CONTROL, 'census')
if stored then
  local census = {'ok', whole(now)}
  for n in string.gmatch(stored, '%d+') do census[#census + 1] = n end
  local at = tonumber(census[3])
  if #census == 11 and at <= now and now - at < tonumber(ARGV[1]) then return census end
end
local waiting, held, first = {}, 0, {'0', '0'}
for i, stream in ipairs({INPUT, FRONT}) do
  local pends = redis.pcall('XPENDING', stream, GROUP)
  local count = pends.err and 0 or pends[1]
  waiting[i] = math.max(redis.call('XLEN', stream) - count, 0)
  held = held + count
  if waiting[i] > 0 then
    local group = group_of(stream)
    local delivered = group and field(group, 'last-delivered-id')
    local head = redis.pcall('XRANGE', stream, delivered and '(' .. delivered or '-', '+', 'COUNT', 1)
    first[i] = not head.err and head[1] and string.match(head[1][1], '^%d+') or '0'
  end
end
local oldest = redis.call('XRANGE', DLQ, '-', '+', 'COUNT', 1)[1]
local census = {whole(now), waiting[1], waiting[2], held, redis.call('ZCARD', DELAYED), redis.call('XLEN', DLQ),
  oldest and string.match(oldest[1], '^%d+') or '0', first[1], first[2]}
redis.call('HSET', CONTROL, 'census', table.concat(census, ' '))
return {'ok', whole(now), unpack(census)}
