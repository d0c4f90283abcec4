-- KEYS  those of the partition, then a lock per entry
-- ARGV  epoch, consumer, batch number, max_failures, dlq_max_len, max fields, max bytes,
--       then operation, entry, lock value ('' if never locked), coalesced name ('' if unknown), reason, text, delay ms per
--       entry
-- The receipt comes first: a batch whose reply was lost is sent again under its number and must learn what it did, not
-- that its entries are gone. One that arrives after its successor is a ghost on a dead connection: it does nothing,
-- and above all it doesn't overwrite its successor's receipt.
local receipt = ARGV[2] .. ':last'
local number = tonumber(ARGV[3])
local stored = redis.call('HGET', CONSUMERS, receipt)
if stored then
  local last = cmsgpack.unpack(stored)
  if last[1] == number then return last[2] end
  if last[1] > number then return {'stale'} end
end
if redis.call('GET', EPOCH) ~= ARGV[1] then return {'epoch'} end
local consumer = ARGV[2]
local max_failures, dlq_max_len = tonumber(ARGV[4]), tonumber(ARGV[5])
local max_fields, max_bytes = tonumber(ARGV[6]), tonumber(ARGV[7])

-- A server that may lack the last writes would call a lease lost. That is found out before anything is done, as a receipt
-- stands for the whole batch. Where all locks are as they should be, nobody has to ask.
for i = LOCKS + 1, #KEYS do
  if lock_value(KEYS[i]) ~= ARGV[8 + (i - LOCKS - 1) * 7 + 2] then
    if not is_known_server() then return {'epoch'} end
    break
  end
end

local function settle(lock, operation, ref, value, name, reason, text, delay)
  local stream, id = place(ref)
  if not is_mine(lock, value, stream, id, consumer) then
    if pending(stream, id) or alive(lock) then return {'lost'} end
    return {'gone'}
  end
  if operation == 'done' then
    if budget <= 0 then return {'later'} end
    ended(name, ref)
    finish(stream, id, lock)
    return {'ok'}
  end
  local fields, instead = body_to_move(stream, id, lock, name)
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
    answer = bury(dlq_max_len, fields, names, values, fit,
      {_sh_reason = reason, _sh_error = text, _sh_consumer = consumer, _sh_last_id = id})
    ended(field(fields, '_sh_live'), ref)
  else
    -- Rounded up, so that it is never early.
    local due = tonumber(delay) > 0 and math.ceil(now_us() / 1000) + tonumber(delay) or 0
    answer = {'ok', put_back(with(fields, names, values), ref, due)}
  end
  finish(stream, id, lock)
  return answer
end

local result = {'ok'}
for i = LOCKS + 1, #KEYS do
  local at = 8 + (i - LOCKS - 1) * 7
  result[#result + 1] = outcome(settle, KEYS[i], unpack(ARGV, at, at + 6))
end
-- Out of memory before the first write: every entry says so and none was settled, so a receipt isn't missed.
redis.pcall('HSET', CONSUMERS, receipt, cmsgpack.pack({number, result}))
return result
