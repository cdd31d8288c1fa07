package metrics

import "weever/mediad/internal/admission"

// This file declares what is told of the node as one among others.

func clusterFamilies() []family {
	return []family{
		gauge("build_info", "1, with what this program is.", []string{"version", "go"},
			func(r *reading, out emit) { out(1, r.version, r.goVersion) }),
		gauge("ready", "1 while the node takes sessions, as /readiness says, else 0.", nil, the(func(r *reading) bool { return r.ready })),
		gauge("draining", "1 while the node is drained or has been, else 0.", nil, the(func(r *reading) bool { return r.drain.on })),
		gauge("drain_sessions_left", "Sessions that a drain waits for, or has given up waiting for.", nil,
			the(func(r *reading) int { return r.drain.left })),
		gauge("backend_up", "1 while a backend is there, as /readiness says, else 0.", []string{"backend"},
			each(func(r *reading) map[string]bool { return r.backends })),

		gauge("sessions_limit", "--max-sessions; not here when there is no limit.", nil, limit(func(l *limits) admission.Limit { return l.Sessions })),
		gauge("egress_bytes_per_second", "What the node sends, as --max-egress-mbps sees it: averaged over seconds.", nil,
			the(func(r *reading) float64 { return r.load.Egress.Value })),
		gauge("egress_limit_bytes_per_second", "--max-egress-mbps, in bytes; not here when there is no limit.", nil,
			limit(func(l *limits) admission.Limit { return l.Egress })),
		gauge("cpu_used_ratio", "Share of its cores that the node uses, as --max-cpu sees it: averaged over seconds.", nil,
			the(func(r *reading) float64 { return r.load.CPU.Value })),
		gauge("cpu_limit_ratio", "--max-cpu, as a share; not here when there is no limit.", nil, limit(func(l *limits) admission.Limit { return l.CPU })),
		gauge("full", "1 while the limit keeps new sessions out, else 0.", []string{"limit"}, func(r *reading, out emit) {
			out(number(r.load.Sessions.Full), "sessions")
			out(number(r.load.Egress.Full), "egress")
			out(number(r.load.CPU.Full), "cpu")
		}),

		gauge("certificate_expiry_timestamp_seconds", "When the certificate of the public API expires, in Unix time. Not here without --cert-file.", nil,
			func(r *reading, out emit) {
				if !r.cert.IsZero() {
					out(float64(r.cert.Unix()))
				}
			}),
		gauge("lease_age_seconds", "Time since Redis last confirmed this node's lease, which holds 10 s. Not here before the first time.", nil,
			func(r *reading, out emit) {
				if r.lease.held {
					out(r.lease.age.Seconds())
				}
			}),
		gauge("fence_open", "1 while this node may send media to others, 0 until its claims have been checked.", nil,
			the(func(r *reading) bool { return r.fence.open })),
		counter("fence_cuts_total", "Times that the fence shut, because the node was cut off or stood still.", nil,
			the(func(r *reading) uint64 { return r.fence.Cuts })),
		counter("fence_checks_total", "Checks of the node's claims that ended well (ok), and that had to be repeated (failed).", []string{"result"},
			func(r *reading, out emit) {
				out(number(r.fence.Checks), "ok")
				out(number(r.fence.Failed), "failed")
			}),
		gauge("nodes", "Nodes that hold a lease, this one included, as last read from Redis.", []string{"region", "version"},
			func(r *reading, out emit) {
				for k, n := range r.reaper.Nodes {
					out(number(n), k.Region, k.Version)
				}
			}),
		counter("nodes_reaped_total", "Dead nodes that this one has cleaned up after.", nil,
			the(func(r *reading) uint64 { return r.reaper.Reaped })),
	}
}

// limit reads the most there may be of something.
func limit(of func(*limits) admission.Limit) func(*reading, emit) {
	return func(r *reading, out emit) {
		if l := of(&r.load); l.Max > 0 {
			out(l.Max)
		}
	}
}

// limits are what a node may have so much of: sessions, bytes a second, a share of the cores.
type limits struct{ Sessions, Egress, CPU admission.Limit }

func limitsOf(all []admission.Limit) (l limits) {
	const megabit, percent = 1e6 / 8, 0.01
	scaled := func(is admission.Limit, unit float64) admission.Limit {
		is.Value, is.Max = is.Value*unit, is.Max*unit
		return is
	}
	for _, is := range all {
		switch is.Name {
		case admission.Sessions:
			l.Sessions = is
		case admission.Egress:
			l.Egress = scaled(is, megabit)
		case admission.CPU:
			l.CPU = scaled(is, percent)
		}
	}
	return l
}
