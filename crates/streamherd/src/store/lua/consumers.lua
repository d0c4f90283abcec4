-- KEYS  those of the partition
-- The registry and the groups at one moment: the time, the rows, consumers that are known only by a receipt, and per lane
-- what Redis says of its consumers.
local rows, receipts = {}, {}
for _, key in ipairs(redis.call('HKEYS', CONSUMERS)) do
  local consumer = string.match(key, '^(.+):last$')
  if consumer then
    receipts[#receipts + 1] = consumer
  else
    rows[#rows + 1] = {key, redis.call('HGET', CONSUMERS, key)}
  end
end
local result = {'ok', whole(now_ms()), rows, receipts}
for _, stream in ipairs({INPUT, FRONT}) do
  local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, GROUP)
  result[#result + 1] = consumers.err and {} or consumers
end
return result
