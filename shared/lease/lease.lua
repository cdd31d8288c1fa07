-- The table of leases: which processes are alive, by the clock of this Redis. Each operation decides on what the table holds at that
-- moment and does all of it or nothing.
--
-- KEYS: the table, a hash. ARGV: operation, instance, what the operation wants. Times are microseconds.
--
-- An instance's field is a header and the JSON of a Record: "1 <epoch> <term> <ends> <claim ends> @<who claims> <json>". ends 0 is
-- a lease that was condemned. The term is when the lease began; one that was interrupted gets another. Only the header is read here.
--
-- Two fields begin with a space, as no instance does. " fresh": until then the table is to be believed. It moves on with each refresh
-- by anybody; when it has passed, not the nodes were away but Redis. " quiet": until then nobody's lease counts as expired, because
-- after such a time all of them have, and the nodes need a moment to come back.
local leases, who = KEYS[1], ARGV[2]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local function whole(n) return string.format('%.0f', n) end

local function stamp(field) return tonumber(redis.call('HGET', leases, field) or '0') or 0 end

local function parse(raw)
  local epoch, term, ends, claim, by, body = string.match(raw or '', '^1 (%d+) (%d+) (%d+) (%d+) @(%S*) ()')
  if not epoch then return nil end
  return {epoch = epoch, term = tonumber(term), ends = tonumber(ends), claim = tonumber(claim), by = by, body = string.sub(raw, body)}
end

local function write(l)
  local head = {'1', l.epoch, whole(l.term), whole(l.ends), whole(l.claim), '@' .. l.by, l.body}
  redis.call('HSET', leases, who, table.concat(head, ' '))
end

local fresh, quiet = stamp(' fresh'), stamp(' quiet')

local function dead(l)
  return l.ends == 0 or l.ends <= now and quiet <= now and now <= fresh
end

-- mine is the lease of that instance and epoch.
local function mine(epoch)
  local l = parse(redis.call('HGET', leases, who))
  if l and l.epoch == epoch then return l end
end

local operations = {}

-- refresh: epoch, how long, json. Reply: the term. It is another than before when the lease was gone, expired, claimed or condemned
-- meanwhile; the reply may be lost, but the next one has the new term, too.
function operations.refresh(epoch, ttl, body)
  ttl = tonumber(ttl)
  if now > fresh or quiet > now + ttl then quiet = now + ttl end
  redis.call('HSET', leases, ' fresh', whole(now + ttl / 2), ' quiet', whole(quiet))
  local l, term = mine(epoch), now
  if l and l.by == '' and l.ends > now then
    term = l.term
  elseif l then
    term = math.max(now, l.term + 1)
  end
  write({epoch = epoch, term = term, ends = now + ttl, claim = 0, by = '', body = body})
  return whole(term)
end

-- leave: epoch.
function operations.leave(epoch)
  if mine(epoch) then redis.call('HDEL', leases, who) end
  return 1
end

-- claim: epoch, who claims, how long. Reply: 1 when it is theirs.
function operations.claim(epoch, by, long)
  local l = mine(epoch)
  if not l or not dead(l) then return 0 end
  if l.by ~= '' and l.by ~= by and l.claim > now then return 0 end
  l.by, l.claim = by, now + tonumber(long)
  write(l)
  return 1
end

-- done: epoch, who claimed. Reply: 1 when the lease was theirs to remove.
function operations.done(epoch, by)
  local l = mine(epoch)
  if not l or l.by ~= by then return 0 end
  redis.call('HDEL', leases, who)
  return 1
end

-- condemn: epoch. Reply: 1 when there was such a lease.
function operations.condemn(epoch)
  local l = mine(epoch)
  if not l then return 0 end
  l.ends = 0
  write(l)
  return 1
end

-- list: reply: now, then instance, value and 1 if dead, of each lease.
function operations.list()
  local all, reply = redis.call('HGETALL', leases), {whole(now)}
  for i = 1, #all, 2 do
    local l = parse(all[i + 1])
    if l then
      table.insert(reply, all[i])
      table.insert(reply, all[i + 1])
      table.insert(reply, dead(l) and '1' or '0')
    end
  end
  return reply
end

return operations[ARGV[1]](ARGV[3], ARGV[4], ARGV[5])
