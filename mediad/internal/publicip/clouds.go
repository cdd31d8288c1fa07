package publicip

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// askAWS speaks IMDSv2: a token first, without which hardened machines answer nothing.
func askAWS(ctx context.Context, m *metadata) (string, error) {
	token, _, err := m.do(ctx, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return "", err
	}
	text, _, err := m.do(ctx, http.MethodGet, "/latest/meta-data/public-ipv4", "X-aws-ec2-metadata-token", token)
	return text, err
}

// askGCP asks for the external address of the first interface.
func askGCP(ctx context.Context, m *metadata) (string, error) {
	const path = "/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip"
	text, header, err := m.do(ctx, http.MethodGet, path, "Metadata-Flavor", "Google")
	if err == nil && header.Get("Metadata-Flavor") != "Google" {
		err = errors.New("the answer is not Google's")
	}
	return text, err
}

// askAzure asks for the address of the first interface (basic addresses) and of the load balancer (standard ones).
func askAzure(ctx context.Context, m *metadata) (string, error) {
	text, _, err := m.do(ctx, http.MethodGet,
		"/metadata/instance/network/interface/0/ipv4/ipAddress/0/publicIpAddress?api-version=2021-02-01&format=text", "Metadata", "true")
	if err == nil && text != "" {
		return text, nil
	}
	body, _, lerr := m.do(ctx, http.MethodGet, "/metadata/loadbalancer?api-version=2021-02-01", "Metadata", "true")
	if lerr != nil {
		return "", errors.Join(err, lerr)
	}
	var answer struct {
		LoadBalancer struct {
			PublicIPAddresses []struct {
				FrontendIPAddress string `json:"frontendIpAddress"`
			} `json:"publicIpAddresses"`
		} `json:"loadbalancer"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return "", fmt.Errorf("the answer cannot be read: %w", err)
	}
	for _, a := range answer.LoadBalancer.PublicIPAddresses {
		return a.FrontendIPAddress, nil
	}
	return "", errNone
}

func askDigitalOcean(ctx context.Context, m *metadata) (string, error) {
	text, _, err := m.do(ctx, http.MethodGet, "/metadata/v1/interfaces/public/0/ipv4/address")
	return text, err
}

func askHetzner(ctx context.Context, m *metadata) (string, error) {
	text, _, err := m.do(ctx, http.MethodGet, "/hetzner/v1/metadata/public-ipv4")
	return text, err
}
