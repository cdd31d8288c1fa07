package chaos

// faults lists the rows of the table, in its order.
func faults() []fault {
	return []fault{
		{"kill -9 a publisher's node", true, "elsewhere 0; back 5 s; PUB_AWAY 6 s, PUB_LEFT 20 s", killPublishersNode},
		{"kill -9 a viewer's node", false, "elsewhere 0; back 5 s", killViewersNode},
		{"freeze a node for 20 s", true, "elsewhere 0; back 15 s; never two owners", freezeNode},
		{"node cut off altogether", false, "elsewhere 0; back 10 s", cutOff},
		{"one NATS server", true, "same node 0; relayed 2 s", oneNATS},
		{"all NATS servers for 6 s", false, "same node 0; relayed outage + 5 s", allNATS},
		{"Redis restarts empty after 12 s", true, "0", redisEmpty},
		{"Redis restarts with its data after 12 s", false, "0", redisWithData},
		{"Consul for 8 s", false, "0", consulAway},
		{"Redis, NATS and Consul for 12 s", true, "same node 0; relayed outage + 5 s", allBackends},
		{"node cut off from Redis for 15 s", false, "0", nodeWithoutRedis},
		{"node cut off from NATS for 12 s", false, "same node and elsewhere 0; others outage + 5 s", nodeWithoutNATS},
		{"node cut off from the other nodes for 12 s", true, "same node and elsewhere 0; others outage + 5 s", nodeWithoutNodes},
		{"30 % loss on the bus for 10 s", false, "same node 0; relayed outage + 5 s", lossyBus},
		{"clock of a node jumps by an hour, back and forth", false, "same node 0; relayed 4 s", clockJumps},
		{"no room for the log, and a NATS server less", false, "same node 0; relayed 2 s", logFull},
		{"balancer restarts", false, "0", balancerRestarts},
		{"200 join in one second", false, "others 1 s; all see within 20 s", manyJoin},
		{"drain of a node with 50 viewers", false, "300 ms; 10 s; 0 sessions", drainNode},
		{"rolling restart of 3 nodes", true, "300 ms; 0 sessions", rollingRestart},
	}
}
