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
	LoadConfig    = config.Load
	CheckConfig   = config.Check
)

const (
	cmdNone    = config.CmdNone
	cmdServe   = config.CmdServe
	cmdLoad    = config.CmdLoad
	cmdCheck   = config.CmdCheck
	cmdVersion = config.CmdVersion
	exitUsage  = config.ExitUsage
)

var errUsage = config.ErrUsage

func parse(args []string, stdout, stderr io.Writer) (*config.CLI, error) {
	return config.Parse(args, stdout, stderr)
}
