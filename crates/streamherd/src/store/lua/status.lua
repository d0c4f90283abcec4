-- KEYS  those of the partition
-- One consistent picture: per lane length and pending by consumer (nil where the group is missing), then dead letters and delayed
-- entries.
local result = {'ok'}
for _, stream in ipairs({INPUT, FRONT}) do
  local summary = redis.pcall('XPENDING', stream, GROUP)
  local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, GROUP)
  if summary.err then
    result[#result + 1] = {redis.call('XLEN', stream), 0, {}}
  else
    result[#result + 1] = {redis.call('XLEN', stream), summary[1], consumers}
  end
end
result[#result + 1] = redis.call('XLEN', DLQ)
result[#result + 1] = redis.call('ZCARD', DELAYED)
return result
