// Package gateway lets an http.Handler serve AWS Lambda's HTTP events.
//
// Events of API Gateway (HTTP API and REST API) and of function URLs become requests, answers become what the sender of the event
// expects. The mains of functions/ use it; it keeps nothing between events.
package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// ErrEvent is returned for an event that is none of the three kinds.
var ErrEvent = errors.New("gateway: the event is not an HTTP request of an API Gateway (REST API, HTTP API) or of a function URL")

// Handler is a lambda.Handler that passes HTTP events to an http.Handler.
type Handler struct{ next http.Handler }

// New makes a Handler; next serves paths without the stage or the base path of a custom domain.
func New(next http.Handler) *Handler { return &Handler{next: next} }

// Invoke serves one event. It fails only when the event is no HTTP request; whatever next answers is an answer.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var kind struct {
		Version        string `json:"version"`
		HTTPMethod     string `json:"httpMethod"`
		RequestContext struct {
			ELB  json.RawMessage `json:"elb"`
			HTTP struct {
				Method string `json:"method"`
			} `json:"http"`
		} `json:"requestContext"`
	}
	if err := json.Unmarshal(payload, &kind); err != nil {
		return nil, ErrEvent
	}
	switch {
	case kind.Version == "2.0" && kind.RequestContext.HTTP.Method != "":
		return h.version2(ctx, payload)
	case kind.HTTPMethod != "" && kind.RequestContext.ELB == nil:
		return h.version1(ctx, payload)
	default:
		return nil, ErrEvent
	}
}

// version2 serves payload format 2.0: HTTP APIs and function URLs.
func (h *Handler) version2(ctx context.Context, payload []byte) ([]byte, error) {
	var e events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, ErrEvent
	}
	_, route, _ := strings.Cut(e.RouteKey, " ")
	in := request{
		method: e.RequestContext.HTTP.Method,
		path:   routePath(route, e.PathParameters, e.RawPath, e.RequestContext.Stage),
		query:  e.RawQueryString,
		host:   e.RequestContext.DomainName,
		remote: e.RequestContext.HTTP.SourceIP,
		body:   e.Body, base64: e.IsBase64Encoded,
		header: http.Header{},
	}
	for k, v := range e.Headers { // values of one name come joined by commas, as HTTP permits
		in.header.Add(k, v)
	}
	out, err := h.serve(ctx, in)
	if err != nil {
		return nil, err
	}
	joined := make(map[string]string, len(out.header))
	for k, vs := range out.header {
		joined[k] = strings.Join(vs, ", ")
	}
	body, encoded := out.text()
	return json.Marshal(events.APIGatewayV2HTTPResponse{StatusCode: out.status, Headers: joined, Body: body, IsBase64Encoded: encoded})
}

// version1 serves payload format 1.0: REST APIs, and HTTP APIs that were told to use it.
func (h *Handler) version1(ctx context.Context, payload []byte) ([]byte, error) {
	var e events.APIGatewayProxyRequest
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, ErrEvent
	}
	query := url.Values(e.MultiValueQueryStringParameters)
	if query == nil {
		query = url.Values{}
		for k, v := range e.QueryStringParameters {
			query.Set(k, v)
		}
	}
	in := request{
		method: e.HTTPMethod,
		path:   routePath(e.Resource, e.PathParameters, e.Path, e.RequestContext.Stage),
		query:  query.Encode(),
		host:   e.RequestContext.DomainName,
		remote: e.RequestContext.Identity.SourceIP,
		body:   e.Body, base64: e.IsBase64Encoded,
		header: http.Header{},
	}
	if len(e.MultiValueHeaders) == 0 {
		for k, v := range e.Headers {
			in.header.Add(k, v)
		}
	}
	for k, vs := range e.MultiValueHeaders {
		for _, v := range vs {
			in.header.Add(k, v)
		}
	}
	out, err := h.serve(ctx, in)
	if err != nil {
		return nil, err
	}
	body, encoded := out.text()
	return json.Marshal(events.APIGatewayProxyResponse{
		StatusCode: out.status, MultiValueHeaders: out.header, Body: body, IsBase64Encoded: encoded,
	})
}

// routePath is the request's path as the handler knows it, escaped.
//
// When the event names the route that matched ("/list/pub/{room}"), the path is that route filled with its parameters: a stage or a
// base path cannot be in it, and an encoded slash in a parameter stays in its segment, so that nobody reaches another
// route than the one the gateway has authorised. Otherwise ($default, function URLs) it is the raw path without the stage.
func routePath(route string, params map[string]string, raw, stage string) string {
	if !strings.HasPrefix(route, "/") {
		if rest, ok := strings.CutPrefix(raw, "/"+stage+"/"); ok && stage != "" {
			return "/" + rest
		}
		return raw
	}
	segments := strings.Split(route, "/")
	for i, s := range segments {
		name, isParam := strings.CutPrefix(s, "{")
		if !isParam {
			continue
		}
		name, _ = strings.CutSuffix(name, "}")
		name, greedy := strings.CutSuffix(name, "+")
		value := params[name]
		if plain, err := url.PathUnescape(value); err == nil { // some gateways decode parameters, others do not
			value = plain
		}
		value = url.PathEscape(value)
		if greedy {
			value = strings.ReplaceAll(value, "%2F", "/")
		}
		segments[i] = value
	}
	return strings.Join(segments, "/")
}

// request is what the kinds of events have in common.
type request struct {
	method, path, query, host, remote, body string

	base64 bool
	header http.Header
}

// serve runs the handler. A method that HTTP cannot have or a body that is not what the event says is a broken event.
func (h *Handler) serve(ctx context.Context, in request) (*response, error) {
	body := []byte(in.body)
	if in.base64 {
		var err error
		if body, err = base64.StdEncoding.DecodeString(in.body); err != nil {
			return nil, fmt.Errorf("%w: its body is said to be base64 and is not", ErrEvent)
		}
	}
	r, err := http.NewRequestWithContext(ctx, in.method, "/", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: its method is not one of HTTP", ErrEvent)
	}
	r.URL = &url.URL{Path: in.path, RawQuery: in.query}
	if plain, err := url.PathUnescape(in.path); err == nil {
		r.URL.Path, r.URL.RawPath = plain, in.path
	}
	r.Header, r.Host, r.RemoteAddr, r.RequestURI = in.header, in.host, in.remote, r.URL.RequestURI()
	if host := in.header.Get("Host"); host != "" {
		r.Host = host
	}
	out := &response{header: http.Header{}, noBody: in.method == http.MethodHead}
	h.next.ServeHTTP(out, r)
	out.WriteHeader(http.StatusOK) // for a handler that wrote nothing
	return out, nil
}

// response is the http.ResponseWriter of one event; the handler's goroutine owns it.
type response struct {
	status int // 0 until the header is written
	header http.Header
	body   bytes.Buffer
	noBody bool
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK { // informational answers have no way through a gateway
		w.status = status
	}
}

func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.noBody {
		return len(p), nil
	}
	return w.body.Write(p)
}

// text gives the body as the answer holds it: as it is when it is text, else in base64.
func (w *response) text() (body string, encoded bool) {
	if b := w.body.Bytes(); !utf8.Valid(b) {
		return base64.StdEncoding.EncodeToString(b), true
	}
	return w.body.String(), false
}
