package embedded

import "context"

// Backends are what a node needs besides itself, as far as it was not told to find it elsewhere.
type Backends struct {
	Redis *Redis // nil: it is elsewhere, as NATS may be
	NATS  *NATS
}

// Start starts what is wanted, or nothing and says why. The caller must Close it.
func Start(redis, nats bool) (_ *Backends, err error) {
	b := &Backends{}
	if redis {
		if b.Redis, err = StartRedis(); err != nil {
			return nil, err
		}
	}
	if nats {
		if b.NATS, err = StartNATS(); err != nil {
			b.Close()
			return nil, err
		}
	}
	return b, nil
}

// Run lets them work until ctx ends and returns ctx's error.
func (b *Backends) Run(ctx context.Context) error {
	if b.Redis == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return b.Redis.Run(ctx)
}

// Close ends them and waits for that.
func (b *Backends) Close() {
	if b.NATS != nil {
		b.NATS.Close()
	}
	if b.Redis != nil {
		b.Redis.Close()
	}
}
