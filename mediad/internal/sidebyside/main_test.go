package sidebyside

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

var (
	rounds  = flag.Int("rounds", 5, "how often each server is measured")
	seconds = flag.Int("seconds", 5, "of each measurement")
	viewers = flag.String("viewers", "10,50,120", "numbers of viewers of BenchmarkFanout")
	profile = flag.String("profile", "", "folder for profiles of the node, which alone is measured, once")
)

// roleEnv makes the test binary one of the processes of a measurement: "plain <http address> <udp address>", or "load <order>".
const roleEnv = "WEEVER_SIDE_BY_SIDE"

func TestMain(m *testing.M) {
	role, arg, _ := strings.Cut(os.Getenv(roleEnv), " ")
	var err error
	switch role {
	case "plain":
		httpAddr, udpAddr, _ := strings.Cut(arg, " ")
		err = servePlain(httpAddr, udpAddr)
	case "load":
		err = generate(arg)
	default:
		goleak.VerifyTestMain(m)
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // it is main here
	}
}
