-- All that waits, is held or is wanted, at one moment.
local input, front, delayed, bodies, live, dlq = unpack(KEYS)
local function of(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
  return ''
end
local entries, waiting, names = {}, {}, {}
for lane, stream in pairs({[''] = input, ['front:'] = front}) do
  local group = redis.pcall('XINFO', 'GROUPS', stream)
  local delivered = group[1] and group[1][8] or '0-0'
  for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+')) do
    local held = redis.pcall('XPENDING', stream, 'workers', entry[1], entry[1], 1)[1]
    local passed = #redis.call('XRANGE', stream, entry[1], delivered, 'COUNT', 1) > 0
    local place = held and 'held' or passed and 'stranded' or 'queued'
    entries[#entries + 1] = {lane .. entry[1], of(entry[2], 'lbs-input'), of(entry[2], '_sh_live'), place, '0'}
  end
end
for _, id in ipairs(redis.call('ZRANGE', delayed, 0, -1)) do
  local packed = redis.call('HGET', bodies, id)
  local fields = packed and cmsgpack.unpack(packed)[2] or {}
  local due = string.format('%.0f', redis.call('ZSCORE', delayed, id))
  entries[#entries + 1] = {'delayed:' .. id, of(fields, 'lbs-input'), of(fields, '_sh_live'), 'delayed', due}
end
for _, name in ipairs(redis.call('HKEYS', live)) do
  local stored = cmsgpack.unpack(redis.call('HGET', live, name))
  local wanted = stored[2] and of(stored[2], 'lbs-input') or ''
  names[#names + 1] = {name, stored[1], wanted, string.format('%.0f', stored[3] or 0)}
end
local locks = #redis.call('KEYS', ARGV[1] .. '*')
local unread = redis.call('HLEN', bodies) - redis.call('ZCARD', delayed)
return {entries, names, redis.call('XLEN', dlq), locks, unread}
