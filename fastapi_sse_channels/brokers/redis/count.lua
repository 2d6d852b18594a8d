-- Write how many sessions a node has on a channel. A node that died between single commands would
-- leave a key for ever.
--
-- KEYS  counts (hash of node = sessions)
-- ARGV  1 node, 2 sessions, 3 ms to live of all counts of the channel, 4 the node's former id

local refusal = lacks('HDEL', KEYS[1], '') or lacks('PEXPIRE', KEYS[1], '')
if refusal then
  return refusal
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HDEL', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
