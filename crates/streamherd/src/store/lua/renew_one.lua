-- KEYS  a lock
-- ARGV  lock value, ttl ms
-- While a slot migrates, only commands on one key are answered for sure, by the server that has it. An absent lock may be on
-- its way, and says nothing.
local held = redis.call('GET', KEYS[1])
if held == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 'kept'
end
return held and 'lost' or 'unknown'
