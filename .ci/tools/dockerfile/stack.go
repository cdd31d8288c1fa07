package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/docker/cli/cli/compose/loader"
	"github.com/docker/cli/cli/compose/types"
)

// stack judges a file for a swarm as `docker stack deploy` does; what that would pass over in silence is a fault here.
func stack(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	dict, err := loader.ParseYAML(text)
	if err != nil {
		return err
	}
	env := map[string]string{}
	for _, kv := range os.Environ() {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	config, err := loader.Load(types.ConfigDetails{
		WorkingDir: dir, Environment: env, ConfigFiles: []types.ConfigFile{{Filename: "stack.yaml", Config: dict}},
	})
	if err != nil {
		return err
	}
	if ignored := loader.GetUnsupportedProperties(dict); len(ignored) > 0 {
		return fmt.Errorf("a swarm ignores: %s", strings.Join(ignored, ", "))
	}
	for name, why := range loader.GetDeprecatedProperties(dict) {
		return fmt.Errorf("a swarm ignores %s: %s", name, why)
	}
	return json.NewEncoder(out).Encode(config)
}
