-- KEYS  those of the partition
-- ARGV  first id, last id ('' for that of the newest letter), most letters, most bytes
-- The newest letter is the end of a walk that begins now: what dies later, perhaps of the walk itself, is no part of it.
-- In small steps, as letters can be large and their size is known only when they are read.
local STEP = 4
local from, to, now = ARGV[1], ARGV[2], whole(now_ms())
local left, room, biggest = tonumber(ARGV[3]), tonumber(ARGV[4]), nil
if to == '' then
  local newest = redis.call('XREVRANGE', DLQ, '+', '-', 'COUNT', 1)[1]
  if not newest then return {'ok', now, '', '', {}} end
  to = newest[1]
end
local letters, more = {}, true
while more and left > 0 and room > 0 do
  local asked = biggest and biggest * STEP < room and math.min(STEP, left) or 1
  local found = redis.call('XRANGE', DLQ, from, to, 'COUNT', asked)
  more = #found == asked
  for _, letter in ipairs(found) do
    local bytes = size(letter[2])
    biggest = math.max(biggest or 0, bytes)
    room = room - bytes
    letters[#letters + 1] = letter
    from = '(' .. letter[1]
  end
  left = left - #found
end
return {'ok', now, to, more and from or '', letters}
