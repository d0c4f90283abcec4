-- KEYS  those of the partition
-- ARGV  epoch, most entries, how many due ones to leave alone (they failed before), dlq_max_len
-- By the clock of Redis, never early. Rivals run this one after the other, and each entry is there for the first only.
local against = not_now(ARGV[1])
if against then return against end
local now = now_ms()
local dlq_max_len = tonumber(ARGV[4])

local function promote(id)
  if budget <= 0 then return {'later'} end
  local stream, fields = delayed_body(id)
  if not stream then
    local packed = redis.call('HGET', BODIES, id)
    local answer = {'vanished'}
    if packed then
      answer = bury(dlq_max_len, {'_sh_packed', packed}, {}, {}, true,
        {_sh_reason = 'unparseable', _sh_error = 'the body of a delayed entry', _sh_last_id = id})
    end
    forget_delayed(id)
    return answer
  end
  budget = budget - size(fields)
  local name = field(fields, '_sh_live')
  local live = name and live_of(name)
  local ref = promoted(id, stream, fields)
  if live and live[1] == 'delayed:' .. id then
    if live[2] then budget = budget - size(live[2]) end
    set_live(name, ref, live[2], live[3])
  end
  return {'ok', ref}
end

local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', ARGV[3], ARGV[2])
local result = {'ok'}
for i, id in ipairs(due) do result[i + 1] = {id, outcome(promote, id)} end
local next = redis.call('ZRANGEBYSCORE', DELAYED, '(' .. whole(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
-- How long until there is something to do, -1 for never.
result[#result + 1] = next and math.max(tonumber(next) - now, 0) or -1
return result
