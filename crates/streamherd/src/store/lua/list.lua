-- KEYS  epoch scan stream
-- ARGV  epoch, consumer, gate ms, cursor, least idle ms, most candidates, prefix of the lane's locks,
--       '1' to respect another's gate
-- The gate is taken in the same step as the listing: a worker that stalls after taking it has at least listed. Looking
-- at a dead lock makes Redis delete it, and so its expiry event fires for everyone.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'epoch'} end
local consumer, gate = ARGV[2], tonumber(ARGV[3])
if ARGV[8] == '1' then
  local holder = redis.call('GET', KEYS[2])
  if holder and holder ~= consumer then return {'gate'} end
end
redis.call('SET', KEYS[2], consumer, 'PX', gate)
local WALK = 2000
local start = now_us()
local records = redis.pcall('XPENDING', KEYS[3], GROUP, 'IDLE', ARGV[5], ARGV[4], '+', WALK)
if records.err then
  if string.find(records.err, 'NOGROUP', 1, true) then return {'epoch'} end
  return records
end
local total = redis.call('XPENDING', KEYS[3], GROUP)[1]
local most = tonumber(ARGV[6])
local candidates, cursor, looked = {}, '', 0
for _, record in ipairs(records) do
  looked = looked + 1
  if not alive(ARGV[7] .. record[1]) then
    candidates[#candidates + 1] = record[1]
    if #candidates == most then
      cursor = '(' .. record[1]
      break
    end
  end
end
if cursor == '' and #records == WALK then cursor = '(' .. records[WALK][1] end
return {'ok', cursor, looked, whole(now_us() - start), candidates, total}
