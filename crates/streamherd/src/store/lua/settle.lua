-- KEYS  epoch consumers input front dlq, then a lock per entry
-- ARGV  epoch, consumer, batch number, max_failures, dlq_max_len, max fields, max bytes,
--       then operation, lane (3 or 4), stream id, lock value ('' if never locked), reason, text per entry
-- The receipt comes first: a batch whose reply was lost is sent again under its number and must learn what it did, not
-- that its entries are gone. One that arrives after its successor is a ghost on a dead connection: it does nothing,
-- and above all it doesn't overwrite its successor's receipt.
local receipt = ARGV[2] .. ':last'
local number = tonumber(ARGV[3])
local stored = redis.call('HGET', KEYS[2], receipt)
if stored then
  local last = cmsgpack.unpack(stored)
  if last[1] == number then return last[2] end
  if last[1] > number then return {'stale'} end
end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'epoch'} end
local consumer = ARGV[2]
local max_failures, dlq_max_len = tonumber(ARGV[4]), tonumber(ARGV[5])
local max_fields, max_bytes = tonumber(ARGV[6]), tonumber(ARGV[7])

local function settle(lock, operation, stream, id, value, reason, text)
  if not is_mine(lock, value, stream, id, consumer) then
    if pending(stream, id) or alive(lock) then return {'lost'} end
    return {'gone'}
  end
  if operation == 'done' then
    finish(stream, id, lock)
    return {'ok'}
  end
  local fields, instead = body_to_move(stream, id, lock)
  if not fields then return instead end
  local failed = operation == 'retry' and 1 or 0
  local names, values, failures = counted(fields, id, failed, 0)
  local fit = fits(fields, max_fields, max_bytes)
  if operation == 'retry' and max_failures > 0 and failures >= max_failures then
    operation, reason = 'dead_letter', 'max_failures'
  elseif not fit then
    operation, reason = 'dead_letter', 'too_large'
  end
  local answer
  if operation == 'dead_letter' then
    answer = bury(KEYS[5], dlq_max_len, fields, names, values, fit,
      {_sh_reason = reason, _sh_error = text, _sh_consumer = consumer, _sh_last_id = id})
  else
    answer = {'ok', redis.call('XADD', KEYS[4], '*', unpack(with(fields, names, values)))}
  end
  finish(stream, id, lock)
  return answer
end

local result = {'ok'}
for i = 6, #KEYS do
  local at = 8 + (i - 6) * 6
  result[#result + 1] = outcome(settle, KEYS[i], ARGV[at], KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2], ARGV[at + 3],
    ARGV[at + 4], ARGV[at + 5])
end
-- Out of memory before the first write: every entry says so and none was settled, so a receipt isn't missed.
redis.pcall('HSET', KEYS[2], receipt, cmsgpack.pack({number, result}))
return result
