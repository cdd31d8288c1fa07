package store

import (
	_ "embed" // for the script

	"github.com/redis/go-redis/v9"

	"weever/shared/redisdb"
)

// This file holds the scripts of the room state. A publisher's record is described in lua/rooms.lua; a subscriber's is
// "1 <inc> <json>".

//go:embed lua/rooms.lua
var roomsLua string

var (
	// roomScript does all that changes a publisher's record.
	roomScript = redis.NewScript(redisdb.CounterLua + roomsLua)

	// incScript takes a number of the counter KEYS[1].
	incScript = redis.NewScript(redisdb.CounterLua + `return incarnation(KEYS[1])`)

	// addSubScript writes a subscriber. KEYS: subscribers, incarnation counter. ARGV: session, inc or "0" to take one, json.
	addSubScript = redis.NewScript(redisdb.CounterLua + `
local inc = ARGV[2]
if inc == '0' then inc = incarnation(KEYS[2]) end
redis.call('HSET', KEYS[1], ARGV[1], '1 ' .. inc .. ' ' .. ARGV[3])
return inc
`)
)
