-- Store an event and announce it, all or nothing: the first write is the last command that the
-- server may refuse.
--
-- KEYS  position (hash e=epoch s=top offset n=top nonce z=bytes held), log (stream),
--       receipt (hash e s n; only with an idempotency key)
-- ARGV  1 channel, 2 PUBLISH or SPUBLISH, 3 body, 4 epoch to start if there is none, 5 nonce of
--       its start, 6 nonce, 7 entries kept, 8 bytes kept, 9 log's ms to live, 10 position's,
--       11 receipt's
-- Returns epoch, offset, nonce.

local position, log, receipt = KEYS[1], KEYS[2], KEYS[3]
local body, nonce = ARGV[3], ARGV[6]

if receipt then
  local known = redis.call('HMGET', receipt, 'e', 's', 'n')
  if known[1] then
    return { known[1], tonumber(known[2]), known[3] }
  end
end

local refusal = lacks('HSET', position, '', '') or lacks('PEXPIRE', position, '')
  or lacks('PEXPIRE', log, '') or lacks(ARGV[2], ARGV[1], '')
  or receipt and (lacks('HSET', receipt, '', '') or lacks('PEXPIRE', receipt, ''))
if refusal then
  return refusal
end

local now = redis.call('TIME')
local stored_at = now[1] .. string.format('%03d', math.floor(now[2] / 1000))

local state = redis.call('HMGET', position, 'e', 's', 'n', 'z')
local epoch, top, previous, held = state[1], tonumber(state[2]), state[3], tonumber(state[4]) or 0
-- Without a position (evicted, flushed, overwritten) offsets would be given out twice; a new epoch
-- makes that visible.
if not (epoch and top and previous and string.find(table.concat(state, ' ', 1, 3), '^%w+ %d+ %w+$')) then
  epoch, top, previous = ARGV[4], 0, ARGV[5]
end

local length = redis.call('XLEN', log) + 1
held = (length > 1 and held or 0) + #body
local after = '-'
while length > 1 and (length > tonumber(ARGV[7]) or held > tonumber(ARGV[8])) do
  -- a deployment may keep thousands less than the one before
  local surplus = math.max(1, math.min(length - ARGV[7], 256))
  local oldest = redis.call('XRANGE', log, after, '+', 'COUNT', surplus)
  for _, entry in ipairs(oldest) do
    held = held - #entry[2][2]
  end
  length = length - #oldest
  after = '(' .. oldest[#oldest][1]
end

local offset
local function append()
  -- Redis is slow at writing numbers, so this is a text
  offset = string.format('%d', top + 1)
  return redis.pcall('XADD', log, 'MAXLEN', length, offset .. '-0',
    'd', body, 'n', nonce, 'p', previous, 't', stored_at)
end

local added = append()
-- The log is ahead of its position: restored from elsewhere, or the position was lost.
if added.err and string.find(added.err, 'equal or smaller', 1, true) then
  refusal = lacks('DEL', log)
  if refusal then
    return refusal
  end
  redis.call('DEL', log)
  epoch, top, previous, held, length = ARGV[4], 0, ARGV[5], #body, 1
  added = append()
end
if added.err then
  return added
end

if receipt then
  redis.call('HSET', receipt, 'e', epoch, 's', offset, 'n', nonce)
  redis.call('PEXPIRE', receipt, ARGV[11])
end
redis.call('HSET', position, 'e', epoch, 's', offset, 'n', nonce, 'z', held)
redis.call('PEXPIRE', position, ARGV[10])
redis.call('PEXPIRE', log, ARGV[9])
redis.call(ARGV[2], ARGV[1],
  'sse1 ' .. epoch .. ' ' .. offset .. ' ' .. nonce .. ' ' .. previous .. '\n' .. body)
return { epoch, top + 1, nonce }
