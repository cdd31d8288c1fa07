package config

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"weever/mediad/internal/config/reading"
	"weever/mediad/internal/flagval"
)

// Check is what the check of a server is told.
type Check struct {
	Endpoint     *url.URL
	WHEP         bool           // the endpoint is one of WHEP, else of WHIP
	Token        flagval.Secret // zero: none is sent
	Publish      *url.URL       // with WHEP: where to publish first; nil: nowhere
	PublishToken flagval.Secret // zero: Token
	Strict       bool           // RFC 9725 to the letter
	Flood        bool           // provoke the rate limit
	Origin       string
	Timeout      time.Duration
	Insecure     bool // any certificate will do
	JSON         bool
}

type checkFlags struct {
	Endpoint string `arg:"" name:"endpoint-url" help:"URL to POST to: a WHIP endpoint or, with --whep, a WHEP endpoint."`

	Token            string         `placeholder:"TOKEN" secret:"" help:"Bearer token for the endpoint."`
	TokenFile        string         `placeholder:"FILE" help:"File with the --token."`
	Whep             reading.Toggle `shown:"off" help:"The endpoint is one of WHEP: check it as a player. Somebody must be live there, see --publish."`
	Publish          string         `placeholder:"URL" secret:"" help:"With --whep: WHIP endpoint to publish a synthetic stream at first, so that there is something to play."`
	PublishToken     string         `placeholder:"TOKEN" secret:"" shown:"--token" help:"Bearer token for --publish."`
	PublishTokenFile string         `placeholder:"FILE" help:"File with the --publish-token."`
	Strict           reading.Toggle `shown:"off" help:"Want a PATCH without If-Match to be refused (428), as RFC 9725 does; without this 204 will do, too."`
	Flood            reading.Toggle `shown:"off" help:"Send DELETEs for sessions that do not exist until the rate limit refuses them: 5000 in 10 s at most."`
	Origin           string         `default:"http://localhost" help:"Origin of a web page that may use the endpoint, for the rows about CORS."`
	Timeout          string         `default:"2m" help:"When to give up."`
	Insecure         reading.Toggle `shown:"off" help:"Accept any certificate."`
	JSON             reading.Toggle `name:"json" shown:"off" help:"Print JSON in place of a table."`
}

// check resolves the flags of the check.
func (r reader) check(f *checkFlags) Check {
	token, publishToken := r.Secret(&f.Token, &f.TokenFile), r.Secret(&f.PublishToken, &f.PublishTokenFile)
	c := Check{
		WHEP: r.OnOff(&f.Whep, false), Publish: reading.One(r.Reader, &f.Publish, flagval.WebURL),
		Token: reading.One(r.Named(&f.Token, &token), &token, flagval.Bearer), PublishToken: reading.One(r.Named(&f.PublishToken, &publishToken), &publishToken, flagval.Bearer),
		Strict: r.OnOff(&f.Strict, false), Flood: r.OnOff(&f.Flood, false), Origin: reading.One(r.Reader, &f.Origin, origin),
		Timeout:  reading.One(r.Reader, &f.Timeout, flagval.Duration(time.Second, time.Hour)),
		Insecure: r.OnOff(&f.Insecure, false), JSON: r.OnOff(&f.JSON, false),
	}
	var err error
	c.Endpoint, err = flagval.WebURL(f.Endpoint)
	r.Needs(err == nil, "the endpoint: must be a URL such as https://host:8443/pub/room/id") // it may hold a token: do not repeat it
	r.Needs(c.Publish == nil || c.WHEP, "--publish needs --whep: a WHIP endpoint is published at anyway")
	r.Needs(c.PublishToken.IsZero() || c.Publish != nil, "--publish-token needs --publish")
	return c
}

// origin is what a browser says of a page (RFC 6454 section 7).
func origin(s string) (string, error) {
	u, err := flagval.WebURL(s)
	if err != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", errors.New("must be scheme, host and perhaps port of a page, such as https://app.example.org")
	}
	return strings.ToLower(s), nil
}
