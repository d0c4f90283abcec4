-- KEYS  those of the partition
-- ARGV  epoch, consumer, its name, most entries, most bytes, ttl ms, max fields, max bytes of an entry
-- COUNT holds per stream, so one XREADGROUP over both lanes reads twice as much as is free, or leaves half of it unused
-- and half of the rest to the backlog. This fills the free slots, from the front as long as there is anything. In
-- steps that grow, as large bodies are slow to pass through Lua, and their size is known only when they are read.
-- What nobody was given before is locked here as well: a lease costs no call of its own then, and nothing can come between
-- its read and its lock. What has been somewhere else is only read: an earlier life of it may be unsettled here, which this
-- worker alone knows (Reader::admit).
local against = not_now(ARGV[1])
if against then return against end
local consumer, ttl = ARGV[2], ARGV[6]
if paused(consumer, ARGV[3]) then return {'paused'} end
local mine = consumer .. ':'
local max_fields, max_bytes = tonumber(ARGV[7]), tonumber(ARGV[8])
local left, room, biggest = tonumber(ARGV[4]), tonumber(ARGV[5]), nil
local most, token = 1, nil

-- Says with each entry its token: 0 where it was not locked, -1 where another's lock lives. What is too large for a lease, -2,
-- is not even passed on: only how many fields and bytes it has.
local function lock(stream, entries)
  token = token or math.max(last_token(), now_us() - 1)
  -- Before any of them is given away.
  redis.call('HSET', CONTROL, 'token', whole(token + #entries))
  for _, entry in ipairs(entries) do
    token = token + 1
    local bytes = size(entry[2])
    biggest = math.max(biggest or 1, bytes)
    room = room - bytes
    if (bytes > max_bytes or #entry[2] / 2 > max_fields) and not fits(entry[2], max_fields, max_bytes) then
      entry[2], entry[3] = {whole(#entry[2] / 2), whole(bytes)}, -2
    elseif field(entry[2], '_sh_origin') then
      entry[3] = 0
    else
      local got = take_lock(LOCK .. ref_in(stream, entry[1]), mine, mine .. whole(token), ttl)
      entry[3] = got and tonumber(string.sub(got, #mine + 1)) or -1
    end
  end
end

local result = {{}, {}}
for i, stream in ipairs({FRONT, INPUT}) do
  local asked, got = 0, 0
  while got == asked and left > 0 and room > 0 do
    asked = math.min(most, left, math.max(1, math.floor(room / (biggest or room))))
    local read = redis.pcall('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', asked, 'STREAMS', stream, '>')
    if read and read.err then
      if string.find(read.err, 'NOGROUP', 1, true) then return {'epoch'} end
      return read
    end
    local entries = read and read[1][2] or {}
    got = #entries
    if got > 0 then lock(stream, entries) end
    for _, entry in ipairs(entries) do result[i][#result[i] + 1] = entry end
    left = left - got
    most = math.min(most * 4, 16)
  end
end
return {'ok', cmsgpack.pack(result)}
