-- KEYS  those of the partition
-- One consistent picture: the time; whether anything but a pause was ever written; dead letters; delayed entries and when the
-- next is due; the pauses; the registry's rows; then per lane its length, how many are pending, when its first entry that
-- nobody was given was queued, its consumers, and how many entries were ever added, where Redis says so.
local pauses, rows = {}, {}
for _, key in ipairs(redis.call('HKEYS', CONTROL)) do
  if key == 'paused' or string.match(key, '^paused:.') then
    pauses[#pauses + 1] = {string.sub(key, 8), redis.call('HGET', CONTROL, key)}
  end
end
for _, key in ipairs(redis.call('HKEYS', CONSUMERS)) do
  if not string.match(key, ':last$') then rows[#rows + 1] = {key, redis.call('HGET', CONSUMERS, key)} end
end
local used = 0
for _, key in ipairs({EPOCH, INPUT, FRONT, DLQ, DELAYED}) do
  if redis.call('TYPE', key).ok ~= 'none' then used = 1 end
end
-- Those that were read and those that were not; since Redis 7, and where it can tell.
local function added(group)
  local read, lag = group and field(group, 'entries-read'), group and field(group, 'lag')
  return read and lag and whole(read + lag) or ''
end

local next_due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
local result = {'ok', whole(now_ms()), used, redis.call('XLEN', DLQ),
  redis.call('ZCARD', DELAYED), next_due and whole(tonumber(next_due)) or '', pauses, rows}
for _, stream in ipairs({INPUT, FRONT}) do
  local group = group_of(stream)
  local delivered = group and field(group, 'last-delivered-id')
  -- After the last id that there can be, which another program may have used, XRANGE knows no place, and nothing is.
  local after = redis.pcall('XRANGE', stream, delivered and '(' .. delivered or '-', '+', 'COUNT', 1)
  local head = not after.err and after[1]
  result[#result + 1] = {redis.call('XLEN', stream), group and field(group, 'pending') or 0, head and head[1] or '',
    group and redis.call('XINFO', 'CONSUMERS', stream, GROUP) or {}, added(group)}
end
return result
