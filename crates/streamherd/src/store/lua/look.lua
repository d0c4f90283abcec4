-- KEYS  those of the partition, then a lock per entry
-- ARGV  epoch, then the entries
-- What an expiry notification is worth: the entry, if it is still pending and its lock still absent.
if redis.call('GET', EPOCH) ~= ARGV[1] then return {'epoch'} end

local function look(lock, ref)
  if alive(lock) then return {'alive'} end
  local stream, id = place(ref)
  local p = pending(stream, id)
  if not p then return {'gone'} end
  local fields = body(stream, id)
  if not fields then return {'vanished'} end
  return {'orphan', p[2], p[3], fields}
end

local result = {'ok'}
for i = LOCKS + 1, #KEYS do
  result[#result + 1] = outcome(look, KEYS[i], ARGV[1 + i - LOCKS])
end
return result
