-- The compare-and-swaps of the room state. Each operation decides on what Redis holds at that moment and does all of it or
-- nothing; that is how nodes are fenced from each other. incarnation() stands before this text.
--
-- KEYS: publishers, event counter, memory of who has left. ARGV: operation, full id, incarnation, what the operation wants.
-- Reply: empty when the record is another's, else previous number, number, record. Both numbers are 0 when nothing changed.
--
-- A record is a header and the JSON of room.Publisher: "1 <inc> <joined µs> <state> <instance> <json>". Only the header is read and
-- changed here: cjson would turn empty lists into objects and numbers of 16 digits into 1.7e15.
local pubs, seq, gone = KEYS[1], KEYS[2], KEYS[3]
local id, inc = ARGV[2], ARGV[3]

-- number gives 0 for what is no whole number that a double holds exactly.
local function number(s)
  local n = #s <= 16 and string.find(s, '^%d+$') and tonumber(s) or 0
  if n > 9000000000000000 then return 0 end
  return n
end

local function parse(raw)
  if not raw then return nil end
  local recinc, joined, state, instance, body = string.match(raw, '^1 (%d+) (%d+) (%a+) (%S+) ()')
  if not recinc then return nil end
  return {inc = number(recinc), joined = joined, state = state, instance = instance, body = string.sub(raw, body), raw = raw}
end

-- step takes the next place in the order of the room's events, from a counter that lasts as long as somebody publishes.
local function step()
  local last = redis.call('GET', seq) or '0'
  local now = incarnation(seq)
  redis.call('PERSIST', seq)
  return last, now
end

local function write(joined, state, instance, body)
  local raw = '1 ' .. inc .. ' ' .. joined .. ' ' .. state .. ' ' .. instance .. ' ' .. body
  redis.call('HSET', pubs, id, raw)
  local prev, now = step()
  return {prev, now, raw}
end

-- remove remembers the newest incarnation that left, for each of the last 256 full ids: no older POST may go live after it.
local function remove(who, old)
  redis.call('HDEL', pubs, who)
  redis.call('ZADD', gone, string.format('%.0f', old.inc), who)
  redis.call('ZREMRANGEBYRANK', gone, 0, -257)
  redis.call('EXPIRE', gone, 3600)
  local prev, now = step()
  return {prev, now, old.raw}
end

local mine = number(inc)
local old = parse(redis.call('HGET', pubs, id))
local newest = tonumber(redis.call('ZSCORE', gone, id) or '0') or 0
if old and old.inc > newest then newest = old.inc end
local ours = old and old.inc == mine

local operations = {}

-- golive: joined, instance, json. Its reply goes on with the replaced record or "", then previous number, number, full id and
-- record of each away connection of the same label that is removed, which comes first in the order of events.
function operations.golive(joined, instance, body)
  if newest > mine then return {} end
  local label = string.match(id, '^[^+]+')
  local all, left = redis.call('HGETALL', pubs), {}
  for i = 1, #all, 2 do
    local other = parse(all[i + 1])
    if other and other.state == 'away' and all[i] ~= id and string.match(all[i], '^[^+]+') == label then
      local r = remove(all[i], other)
      for _, v in ipairs({r[1], r[2], all[i], r[3]}) do table.insert(left, v) end
    end
  end
  local reply = write(old and old.joined or joined, 'live', instance, body)
  table.insert(reply, old and not ours and old.raw or '')
  for _, v in ipairs(left) do table.insert(reply, v) end
  return reply
end

-- update: state, instance, json. Only the owner may.
function operations.update(state, instance, body)
  if not ours or old.instance ~= instance then return {} end
  return write(old.joined, state, instance, body)
end

function operations.away()
  if not ours then return {} end
  if old.state == 'away' then return {'0', '0', old.raw} end
  return write(old.joined, 'away', old.instance, old.body)
end

-- remove: state or "", which is any. The counter of a room without publishers may expire, for its next value comes from the clock.
function operations.remove(state)
  if not ours or state ~= '' and old.state ~= state then return {} end
  local reply = remove(id, old)
  if redis.call('EXISTS', pubs) == 0 then redis.call('EXPIRE', seq, 3600) end
  return reply
end

-- restore: joined, state, instance, json.
function operations.restore(joined, state, instance, body)
  if newest > mine then return {} end
  return write(joined, state, instance, body)
end

return operations[ARGV[1]](ARGV[4], ARGV[5], ARGV[6], ARGV[7])
