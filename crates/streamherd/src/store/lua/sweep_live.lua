-- KEYS  those of the partition
-- ARGV  epoch, most names
-- References to what another program has removed: where the name was wanted again it is queued, else it is forgotten.
-- Goes on where the last call ended, whoever made that. In steps of one, as a name may come with a large wish, and HSCAN
-- brings it along.
local against = not_now(ARGV[1])
if against then return against end
local start = now_us()
local cursor = redis.call('HGET', CONTROL, 'live_cursor') or '0'
local most = tonumber(ARGV[2])
budget = 256 * 1024

local function mend(name)
  local live = live_of(name)
  if live and referent(name, live[1]) then return {'ok'} end
  if live and live[2] then
    set_live(name, put(live[2], INPUT, live[3]))
    return {'requeued'}
  end
  redis.call('HDEL', LIVE, name)
  return {'forgotten'}
end

local looked, requeued, forgotten = 0, 0, 0
repeat
  local page = redis.call('HSCAN', LIVE, cursor, 'COUNT', 1)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    local answer = outcome(mend, page[2][i])[1]
    if answer == 'requeued' then requeued = requeued + 1 end
    if answer == 'forgotten' then forgotten = forgotten + 1 end
  end
  looked = looked + 1
  budget = budget - size(page[2])
until cursor == '0' or looked >= most or budget <= 0
redis.call('HSET', CONTROL, 'live_cursor', cursor)
-- At least what so many names are known to take, for a clock that stands still during a script.
return {'ok', cursor == '0' and 1 or 0, requeued, forgotten, whole(math.max(now_us() - start, looked * 10))}
