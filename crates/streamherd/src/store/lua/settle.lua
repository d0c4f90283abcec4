-- KEYS  those of the partition
-- ARGV  epoch, consumer, batch number, max_failures, dlq_max_len, max fields, max bytes,
--       what is done and nothing else, packed: entry, token, coalesced name ('' if none) of each; then per other entry:
--       operation, entry, lock value ('' if never locked), coalesced name ('' if unknown), reason, text,
--       delay ms, how many fields follow (0 but where the store has changed since the lease was acquired), fields
-- The receipt comes first: a batch whose reply was lost is sent again under its number and must learn what it did, not
-- that its entries are gone. One that arrives after its successor is a ghost on a dead connection: it does nothing,
-- and above all it doesn't overwrite its successor's receipt.
local receipt = ARGV[2] .. ':last'
local number = tonumber(ARGV[3])
local last = last_receipt(ARGV[2])
if last then
  if last[1] == number then return last[2] end
  if last[1] > number then return {'stale'} end
end
if redis.call('GET', EPOCH) ~= ARGV[1] then return {'epoch'} end
local consumer = ARGV[2]
local max_failures, dlq_max_len = tonumber(ARGV[4]), tonumber(ARGV[5])
local max_fields, max_bytes = tonumber(ARGV[6]), tonumber(ARGV[7])

local mine = consumer .. ':'

local done, steps, at = cmsgpack.unpack(ARGV[8]), {}, 9
local refs, locks = {}, {}
for i = 1, #done, 3 do
  refs[#refs + 1] = done[i]
  locks[#locks + 1] = LOCK .. done[i]
end
while at <= #ARGV do
  local step = {LOCK .. ARGV[at + 1], unpack(ARGV, at, at + 6)}
  local count = tonumber(ARGV[at + 7])
  if count > 0 then
    step[9] = {}
    for f = 1, count do step[9][f] = ARGV[at + 7 + f] end
  end
  steps[#steps + 1] = step
  at = at + 8 + count
end

-- A server that may lack the last writes would call a lease lost. That is found out before anything is done, as a receipt
-- stands for the whole batch. Where all locks are as they should be, nobody has to ask.
local held = #locks > 0 and redis.call('MGET', unpack(locks)) or {}
local as_said = true
for i = 1, #refs do
  if held[i] ~= mine .. done[3 * i - 1] then as_said = false end
end
for _, step in ipairs(steps) do
  if lock_value(step[1]) ~= step[4] then as_said = false end
end
if not as_said and not is_known_server() then return {'epoch'} end

-- How an entry stands that the store may have lost since it was leased, and whose lease has passed its deadline, so that nobody
-- restored it: 'mine' where it is still there and nobody's, as after XGROUP DESTROY; 'anew' where it is gone, and what its
-- worker kept in memory counts; 'finished'; else 'lost'.
-- Interleavings: a peer took it over before the loss and has restored its own lease, or written it back: the newer token wins,
-- whichever of the two comes first. Its producer has queued it again: that is taken away, and what became of the run is said
-- for ten minutes, or it would be run again after its done. A peer took it over, and only a generation has passed: that is
-- noted where the entry was. A peer took it over before all data was lost, and has finished: then it is run again, as
-- from here that looks like the loss of work that nobody has finished.
local function stand_after_loss(lock, done, ref, value, memory)
  local stream, id = place(ref)
  local found = body(stream, id)
  if found and field(found, 'lbs-input') == field(memory, 'lbs-input') then
    -- Without a lock it is nobody's yet, also where a reader has just been given it.
    return alive(lock) and 'lost' or 'mine'
  end
  local origin = field(memory, '_sh_origin')
  if noted(MOVED .. ref, origin) or may_write(origin, tonumber(token_in(value))) ~= 'free' then return 'lost' end
  local name = field(memory, '_sh_live')
  local live = name and live_of(name)
  local fields = live and referent(name, live[1])
  if not fields then
    -- What the name stood for is taken away, and this was the end of it.
    if live and done then ended(name, live[1]) end
    return 'anew'
  end
  local delayed = string.match(live[1], '^delayed:(.+)$')
  local there, there_id = place(live[1])
  if (field(fields, '_sh_origin') or delayed or there_id) ~= origin then return 'anew' end
  -- An earlier or a later life of it, which will be run if nobody has finished it.
  if not done or alive(LOCK .. live[1]) then return 'lost' end
  if delayed then forget_delayed(delayed) else finish(there, there_id, LOCK .. live[1]) end
  ended(name, live[1])
  return 'finished'
end

-- Where this very lease was written anew, if its owner was never answered: with its lock, or pending for it.
-- Interleaving: restore is carried out, the answer is lost, and Redis stays out of reach until the lease's deadline has passed.
-- It is settled under its old id then; taken for somebody else's, its done would not count, and be done again.
local function own_copy(value, memory)
  local origin = field(memory, '_sh_origin')
  local token, ref = noted(WRITTEN .. origin, origin)
  if not token or ref == '' or token ~= tonumber(token_in(value)) or string.match(ref, '^delayed:') then return nil end
  local stream, id = place(ref)
  if is_mine(LOCK .. ref, value, stream, id, consumer) then return ref end
end

-- Notes what became of a run that is settled from memory; where it was there, unless a newer owner has noted more. A copy of
-- this batch on a dead connection can outlive its receipt, and must not take what is settled for lost; and a newer owner that
-- was not answered looks for its own note.
local function note_settled(value, memory, anew, ref)
  local origin, token = field(memory, '_sh_origin'), token_in(value)
  local other = not anew and noted(WRITTEN .. origin, origin) or 0
  if other <= tonumber(token) then note_written(origin, token, ref) end
end

local function settle(lock, operation, ref, value, name, reason, text, delay, memory)
  local copy = memory and own_copy(value, memory)
  if copy then lock, ref = LOCK .. copy, copy end
  local stream, id = place(ref)
  local done = operation == 'done'
  local stands = 'mine'
  -- The lock may outlast the lane that another program has deleted.
  local bodiless = memory and not body(stream, id)
  if bodiless or not is_mine(lock, value, stream, id, consumer) then
    stands = memory and stand_after_loss(lock, done, ref, value, memory)
      or (pending(stream, id) or alive(lock)) and 'lost' or 'gone'
  end
  if stands == 'lost' or stands == 'gone' then return {stands} end
  local anew = stands ~= 'mine'
  if done then
    if memory then note_settled(value, memory, anew, '') end
    if anew then
      if lock_value(lock) == value then redis.call('DEL', lock) end
      return {'ok'}
    end
    if budget <= 0 then return {'later'} end
    ended(name, ref)
    finish(stream, id, lock)
    return {'ok'}
  end
  local fields, instead = memory, nil
  if not anew then
    fields, instead = body_to_move(stream, id, lock, name)
    if not fields then return instead end
  end
  local failed = operation == 'retry' and 1 or 0
  local names, values, failures = counted(fields, id, failed, 0)
  local fit = fits(fields, max_fields, max_bytes)
  if operation == 'retry' and max_failures > 0 and failures >= max_failures then
    operation, reason = 'dead_letter', 'max_failures'
  elseif not fit then
    operation, reason = 'dead_letter', 'too_large'
  end
  local answer, new
  if operation == 'dead_letter' then
    answer = bury(dlq_max_len, fields, names, values, fit,
      {_sh_reason = reason, _sh_error = text, _sh_consumer = consumer, _sh_last_id = id})
    name = field(fields, '_sh_live')
    local live = name and live_of(name)
    -- Where it was lost, the name may stand for something else by now.
    if live and (not anew or not referent(name, live[1])) then ended(name, anew and live[1] or ref) end
  else
    -- Rounded up, so that it is never early.
    local due = tonumber(delay) > 0 and math.ceil(now_us() / 1000) + tonumber(delay) or 0
    fields = with(fields, names, values)
    if not anew then
      new = put_back(fields, ref, due)
    elseif field(fields, '_sh_live') then
      name = field(fields, '_sh_live')
      local way, wanted, wanted_due = make_way(name, ref, field(fields, '_sh_origin'))
      if way == 'free' then
        set_live(name, ref, wanted, wanted_due)
        new = put_back(fields, ref, due)
      else
        -- Once more after the run that is held; what was submitted since goes before.
        local wish = want(name, fields, due, FRONT, true)
        answer = {'ok', wish[2] or live_of(name)[1]}
      end
    else
      new = put(fields, FRONT, due)
    end
    answer = answer or {'ok', new}
  end
  -- What another run serves is not this one's to be taken away.
  if memory then note_settled(value, memory, anew, new or '') end
  if anew then
    if lock_value(lock) == value then redis.call('DEL', lock) end
  else
    finish(stream, id, lock)
  end
  return answer
end

-- Ends what is done and locked as it should be, all of it in a few commands: the end of most work. Says which of them it
-- has left.
local function finish_all()
  local left, named = {}, {}
  if GO then
    -- Each has a second lock.
    for i = 1, #refs do left[i] = true end
    return left
  end
  local acks, names, ends = {[INPUT] = {}, [FRONT] = {}}, {}, {}
  for i, ref in ipairs(refs) do
    if held[i] == mine .. done[3 * i - 1] then
      local name = done[3 * i]
      -- What is wanted once more is as large as an entry may be, and so read one by one.
      if name ~= '' and redis.call('HSTRLEN', LIVE, name) > MOST_OF_REFERENCE then
        left[i] = true
      elseif name ~= '' then
        names[#names + 1] = name
        named[#named + 1] = i
      end
    else
      left[i] = true
    end
  end
  local gone = {}
  if #names > 0 then
    for n, packed in ipairs(redis.call('HMGET', LIVE, unpack(names))) do
      local i = named[n]
      -- Nothing but the reference: nobody wants it once more. What is said otherwise takes a closer look.
      if packed == cmsgpack.pack({refs[i]}) then
        gone[#gone + 1] = names[n]
      elseif packed then
        left[i] = true
      end
    end
  end
  for i, ref in ipairs(refs) do
    if not left[i] then
      local stream, id = place(ref)
      table.insert(acks[stream], id)
      ends[#ends + 1] = locks[i]
    end
  end
  if #gone > 0 then redis.call('HDEL', LIVE, unpack(gone)) end
  for stream, ids in pairs(acks) do
    if #ids > 0 then
      redis.call('XACK', stream, GROUP, unpack(ids))
      redis.call('XDEL', stream, unpack(ids))
    end
  end
  if #ends > 0 then redis.call('DEL', unpack(ends)) end
  return left
end

-- What another program has spoilt must not keep the rest of a batch: then each is settled by itself.
local ok, left = pcall(finish_all)
local exceptions = {}
for i, ref in ipairs(refs) do
  if not ok or left[i] then
    local value = mine .. done[3 * i - 1]
    local became = outcome(settle, locks[i], 'done', ref, value, done[3 * i], '', '', '0')
    if became[1] ~= 'ok' then
      exceptions[#exceptions + 1] = tostring(i)
      exceptions[#exceptions + 1] = became
    end
  end
end
local result = {'ok', exceptions}
for _, step in ipairs(steps) do
  result[#result + 1] = outcome(settle, unpack(step, 1, 9))
end
-- Out of memory before the first write: every entry says so and none was settled, so a receipt isn't missed.
redis.pcall('HSET', CONSUMERS, receipt, cmsgpack.pack({number, result}))
return result
