-- Store an event and announce it, all or nothing.
--
-- KEYS  position (hash e=epoch s=top offset n=top nonce z=bytes held), log (stream),
--       receipt (hash e s n; only with an idempotency key)
-- ARGV  1 channel, 2 PUBLISH or SPUBLISH, 3 body, 4 epoch to start if there is none, 5 nonce,
--       6 entries kept, 7 bytes kept, 8 log's ms to live, 9 position's, 10 receipt's
-- Returns epoch, offset, nonce.

local position, log, receipt = KEYS[1], KEYS[2], KEYS[3]
local body, nonce = ARGV[3], ARGV[5]

if receipt then
  local known = redis.call('HMGET', receipt, 'e', 's', 'n')
  if known[1] then
    return { known[1], tonumber(known[2]), known[3] }
  end
end

-- A right that is missing would be noticed after the event was stored (asked since Redis 7).
if redis.acl_check_cmd and not redis.acl_check_cmd(ARGV[2], ARGV[1], '') then
  return redis.error_reply('NOPERM this user may not publish to the channel ' .. ARGV[1])
end

local now = redis.call('TIME')
local stored_at = now[1] .. string.format('%03d', math.floor(now[2] / 1000))

local function append(offset, previous)
  return redis.pcall('XADD', log, string.format('%d-0', offset),
    'd', body, 'n', nonce, 'p', previous, 't', stored_at)
end

local state = redis.call('HMGET', position, 'e', 's', 'n', 'z')
local epoch, top, previous, held = state[1], tonumber(state[2]), state[3], tonumber(state[4]) or 0
local added
if epoch and top and previous and string.find(table.concat(state, ' ', 1, 3), '^%w+ %d+ %w+$') then
  added = append(top + 1, previous)
end
-- Without a position (evicted, flushed, overwritten), or with a log that is ahead of it (restored
-- from elsewhere), offsets would be given out twice; a new epoch makes that visible.
if not added or (added.err and string.find(added.err, 'equal or smaller', 1, true)) then
  -- a DEL that is not needed would let what follows pass over maxmemory
  if redis.call('EXISTS', log) == 1 then
    redis.call('DEL', log)
  end
  epoch, top, previous, held = ARGV[4], 0, '0', 0
  added = append(1, previous)
end
if added.err then
  return added
end
local offset = top + 1

local length = redis.call('XLEN', log)
if length == 1 then
  held = 0
end
held = held + #body
while length > 1 and (length > tonumber(ARGV[6]) or held > tonumber(ARGV[7])) do
  -- thousands at once, where a deployment keeps less than the one before
  local surplus = math.max(1, math.min(length - ARGV[6], 256))
  local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', surplus)
  for i, entry in ipairs(oldest) do
    held = held - #entry[2][2]
    oldest[i] = entry[1]
  end
  redis.call('XDEL', log, unpack(oldest))
  length = length - #oldest
end

redis.call('HSET', position, 'e', epoch, 's', offset, 'n', nonce, 'z', held)
redis.call('PEXPIRE', position, ARGV[9])
redis.call('PEXPIRE', log, ARGV[8])
if receipt then
  redis.call('HSET', receipt, 'e', epoch, 's', offset, 'n', nonce)
  redis.call('PEXPIRE', receipt, ARGV[10])
end
redis.call(ARGV[2], ARGV[1],
  'sse1 ' .. epoch .. ' ' .. string.format('%d', offset) .. ' ' .. nonce .. ' ' .. previous .. '\n' .. body)
return { epoch, offset, nonce }
