-- Name the commands that the server does not have. Without arguments a command does nothing, but one
-- that is not there is refused in other words.
--
-- KEYS  a stream, which may be empty
-- ARGV  the commands
-- Returns those that are missing.

local missing = {}
local function try(name, ...)
  local reply = redis.pcall(name, ...)
  return type(reply) == 'table' and reply.err and string.lower(reply.err)
end
for _, name in ipairs(ARGV) do
  local refusal = try(name)
  if refusal and string.find(refusal, 'unknown', 1, true) then
    missing[#missing + 1] = name
  end
end
-- publish.lua reads on after an entry: `(` came with Redis 6.2
local refusal = try('XRANGE', KEYS[1], '(0-0', '+')
if refusal and string.find(refusal, 'invalid stream id', 1, true) then
  missing[#missing + 1] = 'XRANGE with an open interval'
end
return missing
