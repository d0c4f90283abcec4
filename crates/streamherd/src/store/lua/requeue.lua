-- KEYS  epoch input front dlq, then a lock per entry
-- ARGV  epoch, least idle ms, max_abandonments, dlq_max_len, max fields, max bytes,
--       then lane (2 or 3) and stream id per entry
-- Rivals run this one after the other; the guard lets the first through, and the others find the entry gone. Seen from
-- outside it is XACK-then-XADD in one step; seen from inside the new entry comes first, so that nothing that raises can
-- lose it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'epoch'} end
local least_idle, max_abandonments, dlq_max_len = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local max_fields, max_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])

local function requeue(lock, stream, id)
  if alive(lock) then return {'alive'} end
  local p = pending(stream, id)
  if not p then return {'gone'} end
  if p[3] < least_idle then return {'early', least_idle - p[3]} end
  local fields, instead = body_to_move(stream, id, lock)
  if not fields then return instead end
  local names, values, _, abandonments = counted(fields, id, 0, 1)
  local fit = fits(fields, max_fields, max_bytes)
  local reason
  if not fit then
    reason = 'too_large'
  elseif max_abandonments > 0 and abandonments >= max_abandonments then
    reason = 'max_abandonments'
  end
  local answer
  if reason then
    answer = bury(KEYS[4], dlq_max_len, fields, names, values, fit, {_sh_reason = reason,
      _sh_error = 'its owner died or lost its lease', _sh_consumer = p[2], _sh_last_id = id})
  else
    answer = {'requeued', redis.call('XADD', KEYS[3], '*', unpack(with(fields, names, values))), p[3]}
  end
  finish(stream, id, lock)
  return answer
end

local result = {'ok'}
for i = 5, #KEYS do
  local at = 7 + (i - 5) * 2
  result[#result + 1] = outcome(requeue, KEYS[i], KEYS[tonumber(ARGV[at])], ARGV[at + 1])
end
return result
