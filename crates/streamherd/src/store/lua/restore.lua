-- KEYS  those of the partition, then a lock per lease
-- ARGV  epoch, consumer, ttl ms, then per lease: entry, lock value, '1' while it is valid, the number of
--       the settlement batch it was sent in (0: none), digest of its lbs-input, how many fields follow (0: not sent), fields
-- A worker that holds a lease tells a server that may lack the last writes. What the server knows otherwise is older than
-- the lease as long as that is valid: within the quiet time nobody else can have been given the entry.
-- Interleavings: an entry whose delivery was lost may be read by another worker before it says hello; without a lock it is
-- taken back. An entry whose XADD was lost is written anew, and may be read by others as new, who find its lock held and
-- leave it alone. Its id may have been given to another entry meanwhile, so bodies are compared.
if redis.call('GET', EPOCH) ~= ARGV[1] then return {'epoch'} end
local consumer, ttl = ARGV[2], ARGV[3]

local settled = (last_receipt(consumer) or {0})[1]

-- The highest token that is held here; it is noted once, at the end.
local highest = 0

local function hold(stream, id, lock, value, still)
  if not still then redis.call('XCLAIM', stream, GROUP, consumer, 0, id, 'FORCE', 'JUSTID') end
  set_lock(lock, value, ttl)
  highest = math.max(highest, tonumber(token_in(value)))
end

local function restore(lock, ref, value, valid, batch, sum, fields)
  local stream, id = place(ref)
  -- Carried out before the answer was lost.
  if batch > 0 and settled >= batch then return {'settled'} end
  local said = lock_value(lock)
  local p = pending(stream, id)
  local still = p and p[2] == consumer
  if said == value and still then
    if valid then extend_lock(lock, value, ttl) end
    return {'kept'}
  end
  local found = body(stream, id)
  if found and digest(found) == sum then
    if said ~= value and alive(lock) then return {'lost'} end
    if not valid then return {(said == value or still) and 'kept' or 'lost'} end
    -- Without a quiet time it may have been given to a Go worker, who is about to lock it.
    if GO and not still then
      -- It would find the lock of nobody, and end.
      if said == value then unlock(lock) end
      return {'lost'}
    end
    hold(stream, id, lock, value, still)
    return {'kept'}
  end
  if not found and said == value and p then
    -- Another program has deleted the body alone, not the whole lane.
    if valid then extend_lock(lock, value, ttl) end
    return {'kept'}
  end
  if not fields or not valid then return {'missing'} end
  local name, origin = field(fields, '_sh_live'), field(fields, '_sh_origin')
  local way, wanted = may_write(origin, tonumber(token_in(value)), true)
  if way == 'taken' then
    -- By this very lease, where the answer was lost, or by a newer owner.
    if wanted ~= '' and lock_value(LOCK .. wanted) == value then
      -- As the owner counts from this answer.
      redis.call('PEXPIRE', LOCK .. wanted, ttl)
      return {'written', wanted}
    end
    return {'lost'}
  end
  local due
  way, wanted = 'free', nil
  if name then way, wanted, due = make_way(name, ref, origin, tonumber(token_in(value))) end
  if way == 'taken' then return {'lost'} end
  local new = redis.call('XADD', stream, '*', unpack(fields))
  local new_ref = ref_in(stream, new)
  hold(stream, new, LOCK .. new_ref, value)
  if name and way == 'free' then set_live(name, new_ref, wanted, due) end
  note_written(origin, token_in(value), new_ref)
  if said == value then redis.call('DEL', lock) end
  return {'written', new_ref}
end

local result, at = {'ok'}, 4
for i = LOCKS + 1, #KEYS do
  local count = tonumber(ARGV[at + 5])
  local fields = count > 0 and {} or nil
  for f = 1, count do fields[f] = ARGV[at + 5 + f] end
  result[#result + 1] =
    outcome(restore, KEYS[i], ARGV[at], ARGV[at + 1], ARGV[at + 2] == '1', tonumber(ARGV[at + 3]), ARGV[at + 4], fields)
  at = at + 6 + count
end
if highest > last_token() then redis.call('HSET', CONTROL, 'token', whole(highest)) end
return result
