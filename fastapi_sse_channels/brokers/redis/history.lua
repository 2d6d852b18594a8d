-- Read a channel's position and the entries after an offset, in one look.
--
-- KEYS  position, log (see publish.lua)
-- ARGV  1 offset, 2 epoch to start if there is none, 3 ms to live of a position that has no
--       entry yet, 4 ms to live of any other
-- Returns epoch, top offset, top nonce, now (ms), entries.

local state = redis.call('HMGET', KEYS[1], 'e', 's', 'n')
local epoch, top, nonce = state[1], tonumber(state[2]), state[3]
local now = redis.call('TIME')
local now_ms = now[1] .. string.format('%03d', math.floor(now[2] / 1000))

if not (epoch and top and nonce and string.find(table.concat(state, ' '), '^%w+ %d+ %w+$')) then
  -- the first subscriber of an empty channel needs a cursor that a later publish continues
  epoch, top, nonce = ARGV[2], 0, '0'
  -- first, for it is the one command here that maxmemory may refuse
  redis.call('HSET', KEYS[1], 'e', epoch, 's', top, 'n', nonce, 'z', 0)
  redis.call('DEL', KEYS[2])
end
redis.call('PEXPIRE', KEYS[1], top == 0 and ARGV[3] or ARGV[4])

local entries = {}
if top > tonumber(ARGV[1]) then
  -- what others added after the top is not asked for
  entries = redis.call('XRANGE', KEYS[2], string.format('%d-0', ARGV[1] + 1),
    string.format('%d-0', top))
end
return { epoch, top, nonce, now_ms, entries }
