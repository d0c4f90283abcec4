-- KEYS  those of the partition
-- ARGV  a data stream's name, or an entry ('' for the one that the name stands for), '1' to take it from its owner,
--       prefix of the locks, max fields, max bytes
-- An operator puts an entry at the front of the queue, which counts nothing. Its owner finds neither lock nor entry, so
-- that its next renewal or settlement says that it is lost.
local name, ref, force, locks = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]
if ref == '' then
  local live = live_of(name)
  if not live or not referent(name, live[1]) then return {'absent'} end
  ref = live[1]
end

-- A user who may add and not take away would double the entry, so that is tried first, on things that don't exist.
redis.call('XACK', FRONT, GROUP, '0-0')
redis.call('XDEL', FRONT, '0-0')
redis.call('DEL', locks .. '0-0')
redis.call('ZREM', DELAYED, '')
redis.call('HDEL', BODIES, '')

local delayed = string.match(ref, '^delayed:(.+)$')
if delayed then
  local _, fields = delayed_body(delayed)
  if not fields or not redis.call('ZSCORE', DELAYED, delayed) then return {'absent'} end
  local coalesced = field(fields, '_sh_live')
  local live = coalesced and live_of(coalesced)
  local new = promoted(delayed, FRONT, fields)
  if live and live[1] == ref then set_live(coalesced, new, live[2], live[3]) end
  return {'due', new}
end

local stream, id = place(ref)
local fields = body(stream, id)
if not fields then return {'absent'} end
local grouped, record = pcall(pending, stream, id)
record = grouped and record or nil
if not record then
  local group = group_of(stream)
  -- Handed out and not pending: another program has stranded it.
  local stranded = group and #redis.call('XRANGE', stream, id, field(group, 'last-delivered-id'), 'COUNT', 1) > 0
  if not stranded then return {'queued', ref} end
end
local lock = locks .. ref
-- A Go worker would not learn that it has lost it.
local by_go = record and is_go_worker(record[2])
if by_go and (alive(lock) or go_wait(ref, record) > 0) or alive(lock) and not force then
  return {'held', record and record[2] or string.match(lock_value(lock) or '', '^(.*):%d+$') or '', math.max(remaining(lock), 0)}
end
if not fits(fields, tonumber(ARGV[5]), tonumber(ARGV[6])) then return {'too_large', ref} end
local names, values = counted(fields, id, 0, 0)
local new = put_back(with(fields, names, values), ref, 0)
note_moved(ref, new)
finish(stream, id, lock)
return {'requeued', new}
