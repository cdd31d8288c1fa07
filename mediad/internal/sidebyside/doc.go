// Package sidebyside measures what a viewer costs this node and what one costs a server on plain pion, by turns, under the same load.
//
// Server and load have a process and a core each. A round starts a server, lets publishers and then viewers in, waits until they have
// settled, and reads for some seconds: CPU time of the process by the kernel's count, user and system; heap and stacks after garbage was
// collected; resident memory; what the viewers saw. Latency ends when the kernel has a packet for a viewer, however late that reads it.
// Every number is the median of all rounds, each ratio that of the rounds' ratios. The machine being what it is at the moment, only
// ratios say something.
//
// Both servers are fed the same way and deal with the same clients, which offer RTX, transport-wide feedback, AES-GCM and a control
// channel, and answer as browsers do. Plain pion's default interceptors take RTX up; they write no transport-wide numbers for viewers
// and hence get no feedback of that kind, which spares that server some work. Viewers do not ask the kernel to gather packets for them
// (UDP_GRO): each is meant to be a machine of its own.
//
//	go test ./mediad/internal/sidebyside -run '^$' -bench Fanout/browser/50 -rounds 1 -seconds 3
//
// Flags: -rounds, -seconds, -viewers 10,50,120, -profile folder (of the node; nothing is compared then), and -record, which belongs to
// the test that records the browser whose traffic is played.
package sidebyside
