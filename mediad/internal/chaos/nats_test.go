package chaos

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"weever/shared/testkit/netns"
	"weever/shared/testkit/proc"
)

const (
	natsPort  = 4222 // for clients
	routePort = 6222 // for other servers
)

// natsConfig notices what fails silently as infra/nats/region.conf does. Here is no TLS, and no account.
const natsConfig = `
server_name: nats-%d
listen: "%s:%d"
http: "%s:8222"
max_payload: 512KB
write_deadline: "2s"
max_pending: 32MB
ping_interval: "5s"
ping_max: 2
cluster {
  name: chaos
  listen: "%s:%d"
  routes: [%s]
}
`

// natsServer is one of three, on a machine of its own.
type natsServer struct {
	*proc.Process
	stage   *stage
	i       int
	station *netns.Station
}

func newNATS(s *stage, i int) *natsServer {
	n := &natsServer{Process: proc.New(s, "nats-server"), stage: s, i: i, station: s.lan.Station()}
	s.Cleanup(n.Stop)
	return n
}

// url is for clients.
func (n *natsServer) url() string { return fmt.Sprintf("nats://%s:%d", n.station.Addr, natsPort) }

// start runs the server; meshed waits for its routes.
func (n *natsServer) start() {
	n.stage.Helper()
	var routes []string
	for _, other := range n.stage.nats {
		if other != n {
			routes = append(routes, fmt.Sprintf(`"nats://%s:%d"`, other.station.Addr, routePort))
		}
	}
	addr := n.station.Addr
	text := fmt.Sprintf(natsConfig, n.i, addr, natsPort, addr, addr, routePort, strings.Join(routes, ", "))
	file := filepath.Join(n.stage.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.stage.Fatal(err)
	}
	if err := n.Run(n.station.Command(n.stage.Context(), n.stage.programs.nats, "-c", file), "Server is ready", proc.StartLimit); err != nil {
		n.stage.Fatalf("nats-server %d: %v", n.i, err)
	}
}

// meshed waits until each server has routes to all others.
func (s *stage) meshed() {
	s.Helper()
	await(s, "routes between the NATS servers", 20*time.Second, func() error {
		for _, n := range s.nats {
			var seen struct {
				Routes []struct {
					ID string `json:"remote_id"`
				} `json:"routes"`
			}
			if err := getJSON("http://"+n.station.Addr.String()+":8222/routez", &seen); err != nil {
				return err
			}
			others := map[string]bool{}
			for _, r := range seen.Routes {
				others[r.ID] = true
			}
			if len(others) != len(s.nats)-1 {
				return fmt.Errorf("server %d has %d", n.i, len(others))
			}
		}
		return nil
	})
}

// natsOf is the server that carries the "media" or the "control" of a node at the moment: after a fault that may be any.
func (s *stage) natsOf(n *node, what string) *natsServer {
	s.Helper()
	for _, server := range s.nats {
		var seen struct {
			Connections []struct{ Name string }
		}
		if err := getJSON("http://"+server.station.Addr.String()+":8222/connz", &seen); err != nil {
			s.Fatal(err)
		}
		for _, c := range seen.Connections {
			if c.Name == n.id+" "+what {
				return server
			}
		}
	}
	s.Fatalf("no NATS server knows %s", n.id)
	return nil
}

// atHome sees to it that each node uses the server beside it.
func (s *stage) atHome() {
	s.Helper()
	for i, n := range s.nodes {
		if s.natsOf(n, "media") != s.nats[i] || s.natsOf(n, "control") != s.nats[i] {
			n.anew(func() {})
		}
	}
}

// getJSON reads what a server says of itself.
func getJSON(url string, into any) error {
	resp, err := plainHTTP().Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// plainHTTP is an HTTP client that keeps no connection.
func plainHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
}
