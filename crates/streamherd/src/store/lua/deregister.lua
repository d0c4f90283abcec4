-- KEYS  consumers input front
-- ARGV  consumer
-- DELCONSUMER destroys pending entries, so it runs only in the step that saw there are none.
local left = 0
for i = 2, 3 do
  local p = redis.pcall('XPENDING', KEYS[i], GROUP, '-', '+', 1, ARGV[1])
  if not p.err then
    if #p == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[i], GROUP, ARGV[1]) end
    left = left + #p
  end
end
if left == 0 then redis.call('HDEL', KEYS[1], ARGV[1] .. ':last') end
return {'ok', left}
