-- KEYS  input front dlq
-- One consistent picture: per lane length and pending by consumer (nil where the group is missing), then dead letters.
local result = {'ok'}
for i = 1, 2 do
  local summary = redis.pcall('XPENDING', KEYS[i], GROUP)
  local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[i], GROUP)
  if summary.err then
    result[#result + 1] = {redis.call('XLEN', KEYS[i]), 0, {}}
  else
    result[#result + 1] = {redis.call('XLEN', KEYS[i]), summary[1], consumers}
  end
end
result[#result + 1] = redis.call('XLEN', KEYS[3])
return result
