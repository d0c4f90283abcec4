-- KEYS  those of the partition
-- ARGV  how many to pass over, most entries
-- A page of what is delayed, the next one due first. Bodies may be large, so only what names and counts an entry leaves here.
local skip, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local room, entries, next_skip = 256 * 1024, {}, ''
-- Two milliseconds or so, as large bodies are slow to pass through Lua.
budget = 512 * 1024
-- By rank, which is found at once however many come before; by score all of these would be passed one by one.
local found = redis.call('ZRANGE', DELAYED, whole(skip), whole(skip + most - 1), 'WITHSCORES')
for i = 1, #found, 2 do
  local _, fields = delayed_body(found[i])
  local kind, name = 'gone', ''
  if fields then kind, name = called(fields) end
  fields = fields or {}
  local function number(of) return whole(counter(fields, of)) end
  entries[#entries + 1] = {found[i], whole(tonumber(found[i + 1])), kind, name,
    number('_retry_count'), number('_sh_failures'), number('_sh_abandonments')}
  budget = budget - size(fields)
  room = room - #name - 100
  if budget <= 0 or room <= 0 or #entries == most then
    next_skip = whole(skip + #entries)
    break
  end
end
return {'ok', next_skip, whole(now_ms()), entries}
