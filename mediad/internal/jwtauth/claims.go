package jwtauth

import (
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"weever/shared/room"
)

// This file is used by CheckToken, on claims whose signature is proven.

const (
	// leeway is how far the issuer's clock may be from ours.
	leeway = 5 * time.Second
	// longestLife bounds exp - iat. The store remembers a kick for as long: a token that lives longer would come back to life when the
	// kick is forgotten.
	longestLife = 30 * 24 * time.Hour
)

// claims are those that are looked at; a token may have others.
type claims struct {
	Room string `json:"room"`
	ID   string `json:"id"`
	Role string `json:"role"`
	Say  bool   `json:"say"`

	// RFC 7519 section 4.1.
	Issuer    string           `json:"iss"`
	Audience  jwt.Audience     `json:"aud"`
	Expiry    *jwt.NumericDate `json:"exp"`
	NotBefore *jwt.NumericDate `json:"nbf"`
	IssuedAt  *jwt.NumericDate `json:"iat"`
}

// check judges time, audience and issuer; an empty audience or issuer fits all.
func (c *claims) check(audience, issuer string, now time.Time) error {
	switch {
	case c.Expiry == nil:
		return bad("the token lacks the time it expires at (exp)")
	case c.IssuedAt == nil:
		return bad("the token lacks the time it was issued at (iat)")
	case c.Expiry.Time().Sub(c.IssuedAt.Time()) > longestLife:
		return bad("the token lives longer than 30 days (exp - iat); that is how long kicks are remembered, so issue it for less")
	}
	expected := jwt.Expected{Issuer: issuer, Time: now}
	if audience != "" {
		expected.AnyAudience = jwt.Audience{audience}
	}
	err := jwt.Claims{
		Issuer: c.Issuer, Audience: c.Audience, Expiry: c.Expiry, NotBefore: c.NotBefore, IssuedAt: c.IssuedAt,
	}.ValidateWithLeeway(expected, leeway)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrExpired):
		return bad("the token has expired (exp); get a new one")
	case errors.Is(err, jwt.ErrNotValidYet):
		return bad("the token is not valid yet (nbf); wait, or set the clocks")
	case errors.Is(err, jwt.ErrIssuedInTheFuture):
		return bad("the token was issued in the future (iat); set the clocks")
	case errors.Is(err, jwt.ErrInvalidAudience):
		return bad("the token is for another audience (aud)")
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return bad("the token is from another issuer (iss)")
	}
	return bad("the token's claims do not fit")
}

// fit judges what the token is for: it opens one room, in one role, for one person, and nothing else.
func (c *claims) fit(rm room.Name, role room.Role, id room.ID) error {
	switch {
	case c.Room == "" || c.Room != rm.String():
		return bad(`the token is for another room, or for none (claim "room")`)
	case c.Role == "" || c.Role != string(role):
		return bad(`the token is for another role, or for none (claim "role"; here it must be %q)`, string(role))
	case c.ID == "" || c.ID != id.String():
		return bad(`the token is for another id, or for none (claim "id"; it is the id without "+…" and without a final "-screen")`)
	}
	return nil
}
