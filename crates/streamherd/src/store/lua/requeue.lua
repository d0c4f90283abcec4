-- KEYS  those of the partition, then a lock per entry
-- ARGV  epoch, least idle ms, max_abandonments, forgive after ms, dlq_max_len, max fields, max bytes, the latest time that
--       the caller believes, in us (0: any), then the entries
-- Rivals run this one after the other; the guard lets the first through, and the others find the entry gone. Seen from
-- outside it is XACK-then-XADD in one step; seen from inside the new entry comes first, so that nothing that raises can
-- lose it.
local against = not_now(ARGV[1])
if against then return against end
local least_idle, max_abandonments, forgive_after = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local dlq_max_len, max_fields, max_bytes = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
-- A clock that has jumped ahead has let all locks expire at once, of owners that live. Hello finds out.
local latest = tonumber(ARGV[8])
if latest > 0 and now_us() > latest then return {'epoch'} end

local function requeue(lock, ref)
  local stream, id = place(ref)
  local p = pending(stream, id)
  if alive(lock) then
    if p then seen_alive(ref, p[2]) end
    return {'alive'}
  end
  if not p then return {'gone'} end
  local wait = math.max(least_idle - p[3], go_wait(ref, p))
  if wait > 0 then return {'early', wait} end
  local fields, instead = body_to_move(stream, id, lock)
  if not fields then return instead end
  -- Whoever held it for that long has not died of it at once: a session of weeks must not die of its fifth restart.
  -- Where idleness ends with each touch, for the sake of Go workers, the deliveries say so: renew counts seconds there.
  local held = GO and math.max(p[3], p[4] * 1000) or p[3]
  local forgiven = forgive_after > 0 and held >= forgive_after
  if forgiven then fields = forgive(fields) end
  local names, values, _, abandonments = counted(fields, id, 0, 1)
  local fit = fits(fields, max_fields, max_bytes)
  local reason
  if not fit then
    reason = 'too_large'
  elseif GO and not go_reads(fields) then
    reason = 'unparseable'
  elseif max_abandonments > 0 and abandonments >= max_abandonments and not forgiven then
    reason = 'max_abandonments'
  end
  -- No longer than what tells a traceparent from what is none.
  local trace = string.sub(field(fields, '_sh_traceparent') or '', 1, 56)
  local answer
  if reason then
    answer = bury(dlq_max_len, fields, names, values, fit, {_sh_reason = reason,
      _sh_error = 'its owner died or lost its lease', _sh_consumer = p[2], _sh_last_id = id})
    if trace ~= '' then answer[5] = trace end
    ended(field(fields, '_sh_live'), ref)
  else
    answer = {'requeued', put_back(with(fields, names, values), ref, 0), p[3]}
    if trace ~= '' then answer[4] = trace end
  end
  note_moved(ref, answer[1] == 'requeued' and answer[2] or '')
  finish(stream, id, lock)
  return answer
end

local result = {'ok'}
for i = LOCKS + 1, #KEYS do
  result[#result + 1] = outcome(requeue, KEYS[i], ARGV[8 + i - LOCKS])
end
return result
