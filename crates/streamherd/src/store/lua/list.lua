-- KEYS  those of the partition
-- ARGV  epoch, consumer, lane, gate ms, cursor, least idle ms, most candidates, prefix of the locks,
--       '1' to respect another's gate
-- The gate is taken in the same step as the listing: a worker that stalls after taking it has at least listed. Looking
-- at a dead lock makes Redis delete it, and so its expiry event fires for everyone.
if redis.call('GET', EPOCH) ~= ARGV[1] then return {'epoch'} end
local left = quiet()
if left > 0 then return {'quiet', left} end
local consumer, stream, gate = ARGV[2], ARGV[3] == 'front' and FRONT or INPUT, tonumber(ARGV[4])
if ARGV[9] == '1' then
  local holder = redis.call('GET', SCAN)
  -- One without a time to live would stay shut for ever.
  if holder and holder ~= consumer and alive(SCAN) then return {'gate'} end
end
redis.call('SET', SCAN, consumer, 'PX', gate)
local WALK = 2000
local start = now_us()
local records = redis.pcall('XPENDING', stream, GROUP, 'IDLE', ARGV[6], ARGV[5], '+', WALK)
if records.err then
  if string.find(records.err, 'NOGROUP', 1, true) then return {'epoch'} end
  return records
end
local total = redis.call('XPENDING', stream, GROUP)[1]
local most = tonumber(ARGV[7])
local candidates, cursor, looked = {}, '', 0
for _, record in ipairs(records) do
  looked = looked + 1
  if not alive(ARGV[8] .. ref_in(stream, record[1])) then
    candidates[#candidates + 1] = record[1]
    if #candidates == most then
      cursor = '(' .. record[1]
      break
    end
  end
end
if cursor == '' and #records == WALK then cursor = '(' .. records[WALK][1] end
return {'ok', cursor, looked, whole(now_us() - start), candidates, total}
