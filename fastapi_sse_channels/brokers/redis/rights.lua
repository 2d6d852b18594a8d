-- Begins every script. A right that is missing would be noticed after something was written, so a
-- script asks before it writes (possible since Redis 7); what it asks for cannot be refused then.
local function lacks(command, name, ...)
  if redis.acl_check_cmd and not redis.acl_check_cmd(command, name, ...) then
    return redis.error_reply('NOPERM this user may not ' .. command .. ' ' .. name)
  end
end
