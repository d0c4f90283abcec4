-- Follows lib.lua in every script: entries that wait, and data streams that are wanted again while they exist.

-- T:live[name] = {reference, fields and due time of the run that is wanted after this one}: a data stream that
-- is queued, delayed or held exists once, and a submit that comes meanwhile is one more run, or none where the run that
-- waits will do. An entry takes part if its field _sh_live holds its name; raw XADDs by others don't.
local function is_body(fields)
  if type(fields) ~= 'table' or #fields == 0 or #fields % 2 == 1 then return false end
  for i = 1, #fields do
    if type(fields[i]) ~= 'string' then return false end
  end
  return true
end

-- Bytes that this call has looked at to see what names stand for.
local looked = 0

-- Nil where another program has spoilt it: it must not keep an entry from being settled, and the sweep forgets it.
local function live_of(name)
  local packed = redis.call('HGET', LIVE, name)
  if not packed then return nil end
  looked = looked + #packed
  local ok, live = pcall(cmsgpack.unpack, packed)
  if not ok or type(live) ~= 'table' or type(live[1]) ~= 'string' then return nil end
  if live[2] ~= nil and not (is_body(live[2]) and type(live[3]) == 'number') then return nil end
  return live
end

local function set_live(name, ref, wanted, due)
  redis.call('HSET', LIVE, name, cmsgpack.pack(wanted and {ref, wanted, due} or {ref}))
end

-- A live record is no longer than this where nothing is wanted after the run that exists.
local MOST_OF_REFERENCE = 64

-- Bytes that one call may still move.
local budget = 4 * 1024 * 1024

-- Puts fields where they wait: in a stream at once, or until they are due. Returns the reference.
local function put(fields, stream, due)
  -- Where Go workers read, too: there is no front for them.
  if GO then stream = INPUT end
  local now = now_ms()
  if due <= now then return ref_in(stream, redis.call('XADD', stream, '*', unpack(fields))) end
  -- Beyond any sequence number that a stream gives within a millisecond, as both stand in _sh_origin.
  local drawn = (tonumber(redis.call('HGET', CONTROL, 'delayed')) or 1000000000) + 1
  redis.call('HSET', CONTROL, 'delayed', whole(drawn))
  local id = whole(now) .. '-' .. whole(drawn)
  fields = with(fields, {'_sh_origin', '_sh_first_seen'}, {
    _sh_origin = field(fields, '_sh_origin') or id,
    _sh_first_seen = field(fields, '_sh_first_seen') or whole(now),
  })
  redis.call('HSET', BODIES, id, cmsgpack.pack({stream == FRONT and 'front' or 'input', fields}))
  redis.call('ZADD', DELAYED, whole(due), id)
  return 'delayed:' .. id
end

-- The stream a delayed entry goes to and its fields; nil where another program has spoilt or removed them.
local function delayed_body(id)
  local packed = redis.call('HGET', BODIES, id)
  if not packed then return nil end
  local ok, stored = pcall(cmsgpack.unpack, packed)
  if ok and type(stored) == 'table' and is_body(stored[2]) then
    return stored[1] == 'front' and FRONT or INPUT, stored[2]
  end
end

local function forget_delayed(id)
  redis.call('ZREM', DELAYED, id)
  redis.call('HDEL', BODIES, id)
end

-- Queues a delayed entry. Returns its reference.
local function promoted(id, stream, fields)
  local ref = put(fields, stream, 0)
  forget_delayed(id)
  return ref
end

-- Has a delayed entry wait no longer than until `due`. Returns its reference.
local function due_at(ref, due)
  local id = string.match(ref, '^delayed:(.+)$')
  if due > now_ms() then
    redis.call('ZADD', DELAYED, 'XX', whole(due), id)
    return ref
  end
  return promoted(id, delayed_body(id))
end

-- What a live reference stands for: its fields, 'held', 'queued' or 'delayed', and when it is due. Nil where it stands for
-- nothing any more, whoever removed that: a stale reference never keeps a name from being queued.
local function referent(name, ref)
  local delayed = string.match(ref, '^delayed:(.+)$')
  if delayed then
    local due = redis.call('ZSCORE', DELAYED, delayed)
    local _, fields = delayed_body(delayed)
    if due and fields then return fields, 'delayed', tonumber(due) end
    return nil
  end
  local stream, id = place(ref)
  local fields = body(stream, id)
  looked = looked + (fields and size(fields) or 0)
  if not fields or field(fields, '_sh_live') ~= name then return nil end
  -- Without a group nothing was ever handed out.
  local held, record = pcall(pending, stream, id)
  return fields, held and record and 'held' or 'queued', 0
end

-- A stream waits until `due` (0: queued) and is wanted again, and was already wanted at `older_due` with info that this wish
-- replaces. Returns when it is due now, and what is wanted after that, and when: a run that has yet to begin serves every
-- wish for the same info that is not for a later time; of delayed wishes the earliest counts.
local function merge(fields, due, wanted, wanted_due, older_due)
  older_due = older_due or math.huge
  local same = field(wanted, 'lbs-input') == field(fields, 'lbs-input')
  if due > 0 then
    due = math.min(due, wanted_due)
    if same then return due end
  elseif same then
    local now = now_ms()
    if wanted_due <= now then wanted_due = math.huge end
    if older_due <= now then older_due = math.huge end
    if wanted_due == math.huge and older_due == math.huge then return due end
  end
  return due, wanted, math.min(wanted_due, older_due)
end

-- Queues what was handed out before and takes its reference along, with what is wanted after it.
local function put_back(fields, ref, due)
  local name = field(fields, '_sh_live')
  local live = name and live_of(name)
  if not live or live[1] ~= ref then return put(fields, FRONT, due) end
  local wanted, wanted_due
  if live[2] then
    budget = budget - size(live[2])
    due, wanted, wanted_due = merge(fields, due, live[2], live[3])
  end
  local new = put(fields, FRONT, due)
  set_live(name, new, wanted, wanted_due)
  return new
end

-- How a wish to have a stream worked on stands: 'new' where it is not queued, delayed or held, else 'coalesced', with what
-- is live of it and what its reference stands for. A wish that gives way is 'superseded' where a newer one waits already.
local function standing(name, gives_way)
  local live = live_of(name)
  if gives_way and live and live[2] then return 'superseded', live end
  if live then
    local first, state, first_due = referent(name, live[1])
    if first then return 'coalesced', live, first, state, first_due end
  end
  return 'new', live
end

-- Whether what is said to wait may be held: its delivery can be among the writes that this server lacks.
local function is_unsettled()
  return quiet() > 0 or not is_known_server()
end

-- Queues a stream that is not queued, delayed or held yet, or notes that it is wanted again: {'new' or 'coalesced',
-- reference, 'noted' unless the run that the reference stands for serves it} or {'superseded'}.
local function want(name, fields, due, stream, gives_way)
  local stands, live, first, state, first_due = standing(name, gives_way)
  if stands == 'superseded' then return {stands} end
  local older_due = live and live[2] and live[3] or math.huge
  if stands == 'new' then
    local ref = put(fields, stream, math.min(due, older_due))
    set_live(name, ref)
    return {stands, ref}
  end
  local ref = live[1]
  if state == 'held' or is_unsettled() then
    set_live(name, ref, fields, math.min(due, older_due))
    return {stands, ref, 'noted'}
  end
  local wanted, wanted_due
  first_due, wanted, wanted_due = merge(first, first_due, fields, due, older_due)
  if state == 'delayed' then ref = due_at(ref, first_due) end
  set_live(name, ref, wanted, wanted_due)
  return {stands, ref, wanted and 'noted' or nil}
end

-- Whose work a body is: the digest of its lbs-input.
local function digest(fields)
  return redis.sha1hex(field(fields, 'lbs-input') or '')
end

-- How a stream stands that its producer keeps, which knows where it was, the name it is coalesced by ('' for a run of its
-- own) and the digest of its lbs-input: 'queued' or delayed, 'held', 'noted' as wanted once more; else 'gone'.
local function kept_as(ref, name, sum)
  if name == '' then
    local delayed = string.match(ref, '^delayed:(.+)$')
    if delayed then return redis.call('ZSCORE', DELAYED, delayed) and 'queued' or 'gone' end
    local fields = body(place(ref))
    if not fields then return 'gone' end
    budget = budget - size(fields)
    return digest(fields) == sum and 'queued' or 'gone'
  end
  local live = live_of(name)
  if not live then return 'gone' end
  -- Where another program has removed what it was to follow, the sweep queues it.
  if live[2] then
    budget = budget - size(live[2])
    if digest(live[2]) == sum then return 'noted' end
  end
  local fields, state = referent(name, live[1])
  if not fields then return 'gone' end
  budget = budget - size(fields)
  if digest(fields) ~= sum then return 'gone' end
  return state == 'held' and 'held' or 'queued'
end

-- The token in what a lock holds.
local function token_in(value)
  return string.match(value, ':(%d+)$')
end

-- The entry is at its end, and the run that was wanted after it is queued, with counters of its own.
local function ended(name, ref)
  if not name or name == '' then return end
  local live = live_of(name)
  if not live or live[1] ~= ref then return end
  if live[2] then
    budget = budget - size(live[2])
    set_live(name, put(live[2], INPUT, live[3]))
  else
    redis.call('HDEL', LIVE, name)
  end
end

-- Notes for whoever kept a run in memory and has been away, both for ten minutes:
-- T:moved:<reference>: somebody else put the entry there, whose owner was dead or to be relieved of it.
-- T:written:<original id>: the store had lost the run, and somebody has written it anew, from memory. The word of the newest
-- owner counts, which has the highest token; a producer has none, 0.
-- They hold a token, the id of the epoch, and the reference; none where the run is finished, or another one serves it.
local KEPT_MS = 600000

local function epoch_id()
  return string.match(redis.call('GET', EPOCH) or '', '^[^.]*')
end

-- An operator without the right to do so still gets done what he is asked for.
local function note(key, token, ref)
  redis.pcall('SET', key, token .. ' ' .. epoch_id() .. ' ' .. ref, 'PX', KEPT_MS)
end

local function note_moved(from, to)
  note(MOVED .. from, '0', to)
end

local function note_written(origin, token, ref)
  note(WRITTEN .. origin, token, ref)
end

-- What a note is worth: nil where there is none, or where what it tells of was lost too, with a later epoch; else its token
-- and its reference, or '' where the run has gone on from there: the note is as old as the entry that it names, so whatever
-- is missing under the same epoch was taken away later.
local function noted(key, origin)
  local token, epoch, ref = string.match(lock_value(key) or '', '^(%d+) (%S*) (.*)$')
  if not token then return nil end
  if ref == '' then return tonumber(token), '' end
  local delayed = string.match(ref, '^delayed:(.+)$')
  local stream, id = place(ref)
  local fields
  if not delayed then
    fields = body(stream, id)
  elseif redis.call('ZSCORE', DELAYED, delayed) then
    fields = select(2, delayed_body(delayed))
  end
  if fields and (field(fields, '_sh_origin') or delayed or id) == origin then return tonumber(token), ref end
  -- Where no worker has ever come, nothing goes on from anywhere.
  if epoch == '' or epoch ~= epoch_id() then return nil end
  return tonumber(token), ''
end

-- Whether a run that this store has lost may be written anew by an owner with this token: 'free', and what an earlier owner or
-- a producer had queued is taken away; else 'taken', with where it is as far as it is still there. Who `holds` it with a
-- valid lease goes on, whatever an earlier owner has made of it.
local function may_write(origin, token, holds)
  local other, ref = noted(WRITTEN .. origin, origin)
  if not other then return 'free' end
  if other >= token then return 'taken', ref end
  if ref == '' then return holds and 'free' or 'taken', ref end
  local delayed = string.match(ref, '^delayed:(.+)$')
  local stream, id = place(ref)
  -- Pending is not held. Interleaving: an earlier owner, who is back first, queues what it had given up, and that wakes a read
  -- which was blocked before the quiet time began; its reader may not acquire it then, and the newest owner takes it back here.
  if not delayed and alive(LOCK .. ref) then return 'taken', ref end
  local fields
  if delayed then
    fields = select(2, delayed_body(delayed))
    forget_delayed(delayed)
  else
    fields = body(stream, id)
    finish(stream, id, LOCK .. ref)
  end
  ended(field(fields, '_sh_live'), ref)
  return 'free'
end

-- Makes way for a run that is written anew where its name stands for something else by now: an earlier life of the same
-- entry, another run of the stream, or a submit that came meanwhile. Says 'free', and what is wanted after this run; 'beside'
-- where another run is held, which the name then goes on standing for; 'taken' where somebody else has the same entry. Who
-- holds the run with a valid lease says its token, and takes back what is pending without a lock, or with that of a lease
-- that began before: of one name one run is held at a time, so that one is over.
-- Interleaving: the run that is wanted after another is handed out, and a failover loses that and the settlement of the one
-- before, whose lock goes on for a while. Written beside it, both would be held when that lock has expired.
local function make_way(name, ref, origin, token)
  local live = live_of(name)
  if not live or live[1] == ref then return 'free', live and live[2], live and live[3] end
  local fields, state, due = referent(name, live[1])
  if not fields then return 'free', live[2], live[3] end
  local delayed = string.match(live[1], '^delayed:(.+)$')
  local stream, id = place(live[1])
  local same = (field(fields, '_sh_origin') or delayed or id) == origin
  if state == 'held' then
    local lock = LOCK .. live[1]
    local other = alive(lock) and tonumber(token_in(lock_value(lock) or '') or math.huge) or 0
    if other > (token or -1) then return same and 'taken' or 'beside' end
  end
  if delayed then forget_delayed(delayed) else finish(stream, id, LOCK .. live[1]) end
  if same then return 'free', live[2], live[3] end
  return 'free', live[2] or fields, live[2] and live[3] or due
end

-- The body of an entry that is to be put somewhere else; or nil and the outcome: gone, and what is left tidied away, or
-- enough moved for one call.
local function body_to_move(stream, id, lock, name)
  if budget <= 0 then return nil, {'later'} end
  local fields = body(stream, id)
  if not fields then
    ended(name, ref_in(stream, id))
    finish(stream, id, lock)
    return nil, {'vanished'}
  end
  budget = budget - size(fields)
  return fields
end
