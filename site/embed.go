// Package site embeds the pages so that a node can serve them.
//
// mediad serves FS at / with --site, and in development. The files are the ones beside this one: there is no build step.
package site

import "embed"

// FS holds the pages, the client library and what they load: index.html and manage.html at its root, weever.js beside them.
// Tests and texts are not in it. It is read-only and safe for concurrent use.
//
//go:embed index.html manage.html weever.js lib/*.js page/*.js page/*.css page/*.svg
var FS embed.FS
