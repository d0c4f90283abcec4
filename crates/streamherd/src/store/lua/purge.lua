-- KEYS  those of the partition
-- ARGV  ids of letters
-- What an id stands for never changes, so whoever chose them may have done so earlier.
local function purge(id)
  return {redis.call('XDEL', DLQ, id) == 1 and 'purged' or 'gone'}
end

local result = {'ok'}
for i = 1, #ARGV do result[#result + 1] = outcome(purge, ARGV[i]) end
return result
