-- KEYS  epoch input front, then a lock per entry
-- ARGV  epoch, then lane (2 or 3) and stream id per entry
-- What an expiry notification is worth: the entry, if it is still pending and its lock still absent.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'epoch'} end

local function look(lock, stream, id)
  if alive(lock) then return {'alive'} end
  local p = pending(stream, id)
  if not p then return {'gone'} end
  local fields = body(stream, id)
  if not fields then return {'vanished'} end
  return {'orphan', p[2], p[3], fields}
end

local result = {'ok'}
for i = 4, #KEYS do
  local at = 2 + (i - 4) * 2
  result[#result + 1] = outcome(look, KEYS[i], KEYS[tonumber(ARGV[at])], ARGV[at + 1])
end
return result
