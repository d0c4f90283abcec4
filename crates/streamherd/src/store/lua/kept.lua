-- KEYS  those of the partition
-- ARGV  '1' to find out too whether what is lost may be submitted again, then per stream that a producer keeps: reference,
--       the name it is coalesced by ('' for a run of its own), digest of its lbs-input
-- Which store this is, for how long it is quiet, and how each of the streams stands: those behind the first 'later' are to
-- be asked for once more.
if ARGV[1] == '1' then redis.call('SET', WRITTEN, '', 'XX') end
local start = now_us()
budget = 512 * 1024

local function look(ref, name, sum)
  if budget <= 0 then return 'later' end
  return kept_as(ref, name, sum)
end

local stands = {}
for i = 2, #ARGV, 3 do stands[#stands + 1] = outcome(look, ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
-- At least what a stream is known to take, for a clock that stands still during a script.
local took = math.max(now_us() - start, #stands * 4)
return {'ok', redis.call('GET', EPOCH) or '', run_id() or '', quiet(), whole(took), stands}
