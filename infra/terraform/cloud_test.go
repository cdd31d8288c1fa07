package terraform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weever/shared/testkit/netns"
)

// cloud answers instances as AWS does: metadata (IMDSv2 alone), secrets, packages in S3, lifecycle hooks. It wants signed requests.
type cloud struct {
	secrets map[string]string // by ARN
	objects map[string]string // files by "bucket/key"

	mu      sync.Mutex
	planned string   // target-lifecycle-state
	actions []string // "hook result instance" in the order that they came
}

const (
	metadataAddr = "169.254.169.254:80"
	servicesAddr = "169.254.169.254:4566"
	imdsToken    = "imds-v2-token"
	accessKey    = "ASIAMADEUPMADEUPMADE"
)

// metadata is what 169.254.169.254 answers.
func (c *cloud) metadata(instance string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") == "" {
			http.Error(w, "no TTL", http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
		fmt.Fprint(w, imdsToken)
	})
	for path, text := range map[string]func() string{
		"instance-id":                        func() string { return instance },
		"public-ipv4":                        func() string { return "203.0.113.7" },
		"iam/security-credentials/":          func() string { return "node" },
		"autoscaling/target-lifecycle-state": c.plan,
		"iam/security-credentials/node": func() string {
			return fmt.Sprintf(`{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":%q,"SecretAccessKey":"made-up","Token":"made-up","LastUpdated":"2026-01-01T00:00:00Z","Expiration":%q}`,
				accessKey, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		},
	} {
		mux.HandleFunc("GET /latest/meta-data/"+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Aws-Ec2-Metadata-Token") != imdsToken {
				http.Error(w, "IMDSv2 only", http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, text())
		})
	}
	return mux
}

func (c *cloud) plan() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.planned
}

// terminate is the group's decision.
func (c *cloud) terminate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.planned = "Terminated"
}

// forget begins anew.
func (c *cloud) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.actions = nil
}

func (c *cloud) completed(action string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.actions {
		if a == action {
			return true
		}
	}
	return false
}

// services are Secrets Manager, S3 and Auto Scaling.
func (c *cloud) services() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Authorization"), "Credential="+accessKey+"/") {
			http.Error(w, "not signed by the instance's role", http.StatusForbidden)
			return
		}
		switch {
		case r.Header.Get("X-Amz-Target") == "secretsmanager.GetSecretValue":
			c.secret(w, r)
		case r.Method == http.MethodPost && r.FormValue("Action") == "CompleteLifecycleAction":
			c.mu.Lock()
			c.actions = append(c.actions, strings.Join([]string{
				r.FormValue("AutoScalingGroupName"), r.FormValue("LifecycleHookName"), r.FormValue("LifecycleActionResult"), r.FormValue("InstanceId"),
			}, " "))
			c.mu.Unlock()
			fmt.Fprint(w, `<CompleteLifecycleActionResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><CompleteLifecycleActionResult/></CompleteLifecycleActionResponse>`)
		default:
			c.object(w, r)
		}
	})
}

func (c *cloud) secret(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		SecretID string `json:"SecretId"`
	}
	err := json.NewDecoder(r.Body).Decode(&ask)
	text, ok := c.secrets[ask.SecretID]
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if err != nil || !ok {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"ResourceNotFoundException","Message":"no such secret"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"ARN": ask.SecretID, "SecretString": text})
}

func (c *cloud) object(w http.ResponseWriter, r *http.Request) {
	file, ok := c.objects[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.Error(w, "no such object", http.StatusNotFound)
		return
	}
	data, err := os.ReadFile(file)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, len(data)))
	http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(data))
}

// serve lets the cloud answer in a network namespace, at the address that AWS has there.
func (c *cloud) serve(t *testing.T, m *netns.Machine, instance string) {
	t.Helper()
	for addr, handler := range map[string]http.Handler{metadataAddr: c.metadata(instance), servicesAddr: c.services()} {
		l, err := listenIn(m.Name, addr)
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = srv.Serve(l) }() // ends with Close
		t.Cleanup(func() { _ = srv.Close() })
	}
}

// listenIn opens a socket in another network namespace: it stays there, wherever it is read from.
func listenIn(namespace, addr string) (net.Listener, error) {
	runtime.LockOSThread() // a namespace is a thread's
	defer runtime.UnlockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer here.Close()
	there, err := os.Open("/run/netns/" + namespace)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("network namespace %s: %w", namespace, err)
	}
	l, err := net.Listen("tcp", addr) //nolint:noctx // it waits for nothing
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // this thread would be elsewhere for whoever gets it next
	}
	return l, err
}
