package redisdb

// This file is used by the scripts of shared/tokens and shared/store.

// CounterLua is the one way to take a number of a counter; every script that hands one out begins with it.
//
// incarnation(key) returns the next number of the counter as an integer string. It never falls: it is above the counter's last
// value and, as the clock in microseconds, above what an emptied Redis had given out. That clock is also why the counter may
// expire. The number stays below 2^53, so Lua's doubles hold it exactly; %.0f keeps it from becoming 1e15.
const CounterLua = `
local function incarnation(key)
  local now = redis.call('TIME')
  local last = tonumber(redis.call('GET', key) or '0') or 0
  local next = string.format('%.0f', math.max(last + 1, tonumber(now[1]) * 1000000 + tonumber(now[2])))
  redis.call('SET', key, next, 'EX', 3600)
  return next
end
`

// IncKey is the counter of a group from which all take their numbers that are to be compared: a room's sessions and the kicks.
func (db *DB) IncKey(group string) string { return db.GroupKey(group, "inc") }
