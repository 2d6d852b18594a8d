-- Read a channel's position and the entries after an offset, in one look.
--
-- KEYS  position, log (see publish.lua)
-- ARGV  1 offset, 2 epoch to start if there is none, 3 nonce of its start, 4 ms to live of a
--       position that has no entry yet, 5 ms to live of any other, 6 entries and 7 bytes after
--       which to stop
-- Returns epoch, top offset, top nonce, now (ms), entries, offset up to which was read.

local state = redis.call('HMGET', KEYS[1], 'e', 's', 'n')
local epoch, top, nonce = state[1], tonumber(state[2]), state[3]
local now = redis.call('TIME')
local now_ms = now[1] .. string.format('%03d', math.floor(now[2] / 1000))

if not (epoch and top and nonce and string.find(table.concat(state, ' '), '^%w+ %d+ %w+$')) then
  -- the first subscriber of an empty channel needs a cursor that a later publish continues
  local refusal = lacks('DEL', KEYS[2]) or lacks('PEXPIRE', KEYS[1], '')
  if refusal then
    return refusal
  end
  epoch, top, nonce = ARGV[2], 0, ARGV[3]
  -- HSET goes first: it is the one command here that maxmemory may refuse
  redis.call('HSET', KEYS[1], 'e', epoch, 's', top, 'n', nonce, 'z', 0)
  redis.call('DEL', KEYS[2])
end
redis.call('PEXPIRE', KEYS[1], top == 0 and ARGV[4] or ARGV[5])

-- XRANGE takes a few at a time, for a single entry may be as large as a whole piece
local AT_ONCE = 16
local entries = {}
local read, room = tonumber(ARGV[1]), tonumber(ARGV[7])
while read < top and #entries < tonumber(ARGV[6]) and room > 0 do
  -- what others added after the top is not asked for
  local found = redis.call('XRANGE', KEYS[2], string.format('%d-0', read + 1),
    string.format('%d-0', top), 'COUNT', AT_ONCE)
  for _, entry in ipairs(found) do
    entries[#entries + 1] = entry
    room = room - #entry[2][2]
  end
  read = #found == AT_ONCE and tonumber(string.match(found[AT_ONCE][1], '^%d+')) or top
end
return { epoch, top, nonce, now_ms, entries, read }
