-- KEYS  those of the partition
-- ARGV  epoch, ms without a sign of life, ms of idleness of one that never registered, then consumers
-- Whoever listed them did so earlier, so each is judged again here. One that comes back after this has lost nothing: its
-- next read makes it a consumer again, and its next heartbeat its row.
local against = not_now(ARGV[1])
if against then return against end
local dead_after, idle_after = tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms()
local idle = {}
for _, stream in ipairs({INPUT, FRONT}) do
  local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, GROUP)
  if not consumers.err then
    for _, consumer in ipairs(consumers) do
      local name, ms = field(consumer, 'name'), field(consumer, 'idle')
      idle[name] = math.min(idle[name] or ms, ms)
    end
  end
end

local function reap(consumer)
  local row = redis.call('HGET', CONSUMERS, consumer)
  if row then
    local seen = tonumber(string.match(row, '^(%d+) '))
    if seen and now - seen < dead_after then return {'alive'} end
  elseif GO or idle[consumer] and idle[consumer] < idle_after then
    return {'alive'}
  end
  if remove_consumer(consumer) > 0 then return {'pending'} end
  return {'reaped'}
end

local result = {'ok'}
for i = 4, #ARGV do result[#result + 1] = outcome(reap, ARGV[i]) end
return result
