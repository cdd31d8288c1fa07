package main

import (
	"io"

	"weever/mediad/internal/config"
)

// What main and its parts call the configuration by; config makes it.
type (
	Config        = config.Config
	PublicConfig  = config.Public
	PrivateConfig = config.Private
	SharedConfig  = config.Shared
	NodeConfig    = config.Node
	MediaConfig   = config.Media
)

func parse(args []string, stdout, stderr io.Writer) (*config.CLI, error) {
	return config.Parse(args, stdout, stderr)
}
