package config

import (
	"errors"
	"net/url"
	"strings"
	"time"

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

	Token            string `placeholder:"TOKEN" secret:"" help:"Bearer token for the endpoint."`
	TokenFile        string `placeholder:"FILE" help:"File with the --token."`
	Whep             toggle `shown:"off" help:"The endpoint is one of WHEP: check it as a player. Somebody must be live there, see --publish."`
	Publish          string `placeholder:"URL" secret:"" help:"With --whep: WHIP endpoint to publish a synthetic stream at first, so that there is something to play."`
	PublishToken     string `placeholder:"TOKEN" secret:"" shown:"--token" help:"Bearer token for --publish."`
	PublishTokenFile string `placeholder:"FILE" help:"File with the --publish-token."`
	Strict           toggle `shown:"off" help:"Want a PATCH without If-Match to be refused (428), as RFC 9725 does; without this 204 will do, too."`
	Flood            toggle `shown:"off" help:"Send DELETEs for sessions that do not exist until the rate limit refuses them: 5000 in 10 s at most."`
	Origin           string `default:"http://localhost" help:"Origin of a web page that may use the endpoint, for the rows about CORS."`
	Timeout          string `default:"2m" help:"When to give up."`
	Insecure         toggle `shown:"off" help:"Accept any certificate."`
	JSON             toggle `name:"json" shown:"off" help:"Print JSON in place of a table."`
}

// check resolves the flags of the check.
func (r *reader) check(f *checkFlags) Check {
	token, publishToken := r.secret(&f.Token, &f.TokenFile), r.secret(&f.PublishToken, &f.PublishTokenFile)
	c := Check{
		WHEP: r.onOff(&f.Whep, false), Publish: one(r, &f.Publish, flagval.WebURL),
		Token: one(r.named(&f.Token, &token), &token, flagval.Bearer), PublishToken: one(r.named(&f.PublishToken, &publishToken), &publishToken, flagval.Bearer),
		Strict: r.onOff(&f.Strict, false), Flood: r.onOff(&f.Flood, false), Origin: one(r, &f.Origin, origin),
		Timeout:  one(r, &f.Timeout, flagval.Duration(time.Second, time.Hour)),
		Insecure: r.onOff(&f.Insecure, false), JSON: r.onOff(&f.JSON, false),
	}
	var err error
	c.Endpoint, err = flagval.WebURL(f.Endpoint)
	r.needs(err == nil, "the endpoint: must be a URL such as https://host:8443/pub/room/id") // it may hold a token: do not repeat it
	r.needs(c.Publish == nil || c.WHEP, "--publish needs --whep: a WHIP endpoint is published at anyway")
	r.needs(c.PublishToken.IsZero() || c.Publish != nil, "--publish-token needs --publish")
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
