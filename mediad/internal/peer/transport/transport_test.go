package transport

import (
	"net"
	"testing"
)

func TestRemoteAllowed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"192.0.2.1": true, "10.0.0.1": true, "2001:db8::1": true, "fd00:ec2::1": true,
		"127.0.0.1": false, "::1": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "ff02::1": false,
		"169.254.169.254": false, "fe80::1": false, "::ffff:169.254.169.254": false,
		"fd00:ec2::254": false, "168.63.129.16": false, "100.100.100.200": false, "::ffff:168.63.129.16": false,
	} {
		if got := remoteAllowed(net.ParseIP(text), false); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
