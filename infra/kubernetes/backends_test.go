package kubernetes

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"weever/shared/testkit/netns"
	"weever/shared/testkit/planted"
	"weever/shared/testkit/proc"
	"weever/shared/testkit/tool"
)

// The backends for trying it out are manifests of no chart; their programs take the arguments and listen where the Services lead.
func TestBackendsForTrying(t *testing.T) {
	m := accepted(t, planted.Read(t, "test-cluster/backends.yaml"))
	if len(m.Objects) != 4 || len(m.Forbidden) != 0 {
		t.Errorf("%d objects, forbidden is %v", len(m.Objects), m.Forbidden)
	}
	pods := map[string]container{}
	for _, o := range m.all("Deployment") {
		d := spec[deployment](t, o)
		c := d.Template.Spec.Containers[0]
		pods[o.Metadata.Name] = c
		for _, svc := range m.all("Service") {
			s := spec[service](t, svc)
			if svc.Metadata.Name == o.Metadata.Name && (!s.Selector.within(d.Template.Metadata.Labels) || s.Ports[0].Port != c.Ports[0].ContainerPort) {
				t.Errorf("the Service %s leads elsewhere", svc.Metadata.Name)
			}
		}
	}
	opts, err := server.ConfigureOptions(flag.NewFlagSet("nats", flag.ContinueOnError), pods["nats"].Args[1:], nil, nil, nil)
	if err != nil || opts.Port != pods["nats"].Ports[0].ContainerPort {
		t.Errorf("nats-server: %v, %+v", err, opts)
	}
	station := netns.NewLAN(t).Station()
	redis := proc.New(t, "redis-server")
	t.Cleanup(redis.Stop)
	args := pods["redis"].Args
	if err := redis.Run(station.Command(context.Background(), args[0], args[1:]...), "Ready to accept connections", proc.StartLimit); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", net.JoinHostPort(station.Addr.String(), fmt.Sprint(pods["redis"].Ports[0].ContainerPort)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "PING\r\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "+PONG\r\n" {
		t.Errorf("redis-server says %q, %v", line, err)
	}
	tool.Checked(t, "kubecheck", kubernetes, "the manifests of Redis and NATS for a test cluster; redis-server has run with its arguments")
}
