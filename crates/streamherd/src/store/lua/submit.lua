-- KEYS  those of the partition
-- ARGV  when ('now', 'after' or 'at'), that many ms, the name to coalesce by ('' for a run of its own), then the fields
-- With a name this is the same however often it is sent: a submit whose reply was lost finds what it has queued.
local fields = {unpack(ARGV, 4)}
local name, due = ARGV[3], 0
if ARGV[1] == 'after' then
  -- Rounded up, so that it is never early.
  due = math.ceil(now_us() / 1000) + tonumber(ARGV[2])
elseif ARGV[1] == 'at' then
  due = tonumber(ARGV[2])
end
if name == '' then return {'new', put(fields, INPUT, due)} end
fields[#fields + 1] = '_sh_live'
fields[#fields + 1] = name
return want(name, fields, due, INPUT)
