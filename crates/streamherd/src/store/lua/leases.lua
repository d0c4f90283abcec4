-- KEYS  those of the partition
-- ARGV  lane, cursor, most entries, prefix of the locks, a consumer ('' for any), 'leased' or 'orphan' ('' for both)
-- A page of what is pending. Bodies may be large, so only what names and counts an entry leaves here. Looking at a dead lock
-- makes Redis delete it, which tells everyone.
local stream, cursor, most, locks = ARGV[1] == 'front' and FRONT or INPUT, ARGV[2], tonumber(ARGV[3]), ARGV[4]
local state = ARGV[6]
-- Where few are wanted of many, more are looked at than are told: about 2 ms.
local walk = state == '' and most or math.max(most, 800)
local arguments = {stream, GROUP, cursor, '+', walk}
if ARGV[5] ~= '' then arguments[6] = ARGV[5] end
local records = redis.pcall('XPENDING', unpack(arguments))
-- Without a group nothing is pending.
if records.err then
  if string.find(records.err, 'NOGROUP', 1, true) then return {'ok', '', whole(now_ms()), {}} end
  return records
end
local room, entries, next_cursor = 256 * 1024, {}, ''
-- Two milliseconds or so, as large bodies are slow to pass through Lua.
budget = 512 * 1024

local function tell(record, lock, left)
  local id, consumer = record[1], record[2]
  local fields = body(stream, id)
  local held = left > 0 and lock_value(lock) or ''
  local token = string.sub(held, 1, #consumer + 1) == consumer .. ':'
    and string.match(string.sub(held, #consumer + 2, #consumer + 22), '^%d+$')
  local kind, name = 'gone', ''
  if fields then kind, name = called(fields) end
  fields = fields or {}
  local function number(of) return whole(counter(fields, of)) end
  local progress = redis.pcall('HGET', PREFIX .. 'progress:' .. consumer, ref_in(stream, id))
  progress = type(progress) == 'string' and string.sub(progress, 1, 1024) or ''
  entries[#entries + 1] = {id, consumer, record[3], left, token or '', kind, name,
    string.sub(field(fields, '_sh_first_seen') or '', 1, 20), string.sub(field(fields, '_sh_origin') or '', 1, 41),
    number('_retry_count'), number('_sh_failures'), number('_sh_abandonments'), progress}
  budget = budget - size(fields)
  room = room - #name - #consumer - #progress - 200
end

for i, record in ipairs(records) do
  local lock = locks .. ref_in(stream, record[1])
  local left = math.max(remaining(lock), 0)
  if state == '' or (state == 'leased') == (left > 0) then tell(record, lock, left) end
  if budget <= 0 or named > 512 * 1024 or room <= 0 or #entries == most or i == walk then
    next_cursor = '(' .. record[1]
    break
  end
end
return {'ok', next_cursor, whole(now_ms()), entries}
