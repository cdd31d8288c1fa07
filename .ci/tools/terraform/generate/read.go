package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"weever/tools/terraform/schema"
)

var (
	rootLine  = regexp.MustCompile(`(?m)^export class (\w+) extends cdktf\.Terraform(?:Resource|DataSource)`)
	attrLine  = regexp.MustCompile(`(?m)^  // (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n`)
	nestLine  = regexp.MustCompile(`= new (\w+?)(List|Map|OutputReference)\(this, "\w+"(?:, (true|false))?\)`)
	fieldLine = regexp.MustCompile(`(?m)^  private _\w+\?: ([^;]+);`)
	// Blocks of the provider itself have an interface, and no class.
	settingsLine  = regexp.MustCompile(`(?m)^  private _\w+\?: ([A-Z]\w+)\[\] `)
	settingsField = regexp.MustCompile(`(?m)#(\w+) \w+#\w+\}\n  \*/\n  readonly \w+(\??): ([^;]+(?:; \})?);$`)
	getter        = regexp.MustCompile(`return ([\w.(]+?)\(?'`)
)

func rootClass(src string) string {
	if m := rootLine.FindStringSubmatch(src); m != nil {
		return m[1]
	}
	return ""
}

func className(snake string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(snake, "_") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// block reads the attributes and blocks of one class.
func block(src, class string) (schema.Block, error) {
	out := schema.Block{Attrs: map[string]schema.Attr{}, Blocks: map[string]schema.Nested{}}
	_, body, ok := strings.Cut(src, "export class "+class+" extends ")
	if !ok {
		return out, fmt.Errorf("no class %q", class)
	}
	body, _, _ = strings.Cut(body, "\n}\n")
	at := attrLine.FindAllStringSubmatchIndex(body, -1)
	for i, m := range at {
		end := len(body)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		name, text := body[m[2]:m[3]], body[m[1]:end]
		letters := ""
		for j, letter := range "cor" {
			if body[m[4+2*j]:m[5+2*j]] == "true" {
				letters += string(letter)
			}
		}
		if err := member(src, name, text, letters, &out); err != nil {
			return out, fmt.Errorf("%s.%s: %w", class, name, err)
		}
	}
	return out, nil
}

// member adds one attribute or block.
func member(src, name, text, letters string, out *schema.Block) error {
	nest := nestLine.FindStringSubmatch(text)
	if nest == nil || strings.Contains(nest[1]+nest[2], "cdktf") || isPlainMap(nest) {
		if m := settingsLine.FindStringSubmatch(text); m != nil {
			return settings(src, name, m[1], out)
		}
		t, err := plain(text)
		out.Attrs[name] = attr(t, letters)
		return err
	}
	inner, err := block(src, nest[1]+"OutputReference")
	if err != nil {
		return err
	}
	kind := "list"
	if nest[3] == "true" {
		kind = "set"
	}
	if strings.Contains(letters, "c") { // a list of objects, not a block
		t := object(inner)
		if nest[2] == "List" {
			t = mustJSON([]any{kind, t})
		}
		out.Attrs[name] = attr(t, letters)
		return nil
	}
	n := schema.Nested{Nest: kind, Block: inner}
	if nest[2] == "OutputReference" {
		n.Max = 1
	}
	if letters == "r" {
		n.Min = 1
	}
	if name == "timeouts" {
		n.Nest, n.Max = "single", 0
	}
	out.Blocks[name] = n
	return nil
}

// isPlainMap says whether cdktf's own class for computed maps is meant, and not one of the package.
func isPlainMap(nest []string) bool {
	return nest[2] == "Map" && (nest[1] == "String" || nest[1] == "Number" || nest[1] == "Boolean" || nest[1] == "Any")
}

// plain reads the type of an attribute off its getter, or off its field where the getter does not tell.
func plain(text string) (json.RawMessage, error) {
	if strings.Contains(text, "new cdktf.StringMap(") {
		return json.RawMessage(`["map","string"]`), nil
	}
	call := ""
	if m := getter.FindStringSubmatch(text); m != nil {
		call = m[1][strings.LastIndexAny(m[1], ".")+1:]
		if strings.Contains(m[1], "tolist") {
			call += " set"
		}
	}
	types := map[string]string{
		"getStringAttribute": `"string"`, "getNumberAttribute": `"number"`, "getBooleanAttribute": `"bool"`,
		"getListAttribute": `["list","string"]`, "getListAttribute set": `["set","string"]`,
		"getNumberListAttribute": `["list","number"]`, "getNumberListAttribute set": `["set","number"]`,
		"getStringMapAttribute": `["map","string"]`, "getNumberMapAttribute": `["map","number"]`, "getBooleanMapAttribute": `["map","bool"]`,
		"interpolationForAttribute": `"dynamic"`,
	}
	if t, ok := types[call]; ok {
		return json.RawMessage(t), nil
	}
	if m := fieldLine.FindStringSubmatch(text); m != nil { // the provider's own settings have no such getter
		return declared(m[1])
	}
	return nil, fmt.Errorf("its type is not understood: %s", strings.TrimSpace(text))
}

// declared reads a TypeScript type.
func declared(t string) (json.RawMessage, error) {
	for _, known := range [][2]string{
		{"string[]", `["list","string"]`},
		{"{ [key: string]: string }", `["map","string"]`},
		{"string", `"string"`},
		{"number", `"number"`},
		{"boolean", `"bool"`},
	} {
		if strings.HasPrefix(t, known[0]) {
			return json.RawMessage(known[1]), nil
		}
	}
	return nil, fmt.Errorf("the type %q is not understood", t)
}

// settings adds a block of the provider itself.
func settings(src, name, of string, out *schema.Block) error {
	if name == "endpoints" {
		return nil // one for each of AWS' services
	}
	_, body, ok := strings.Cut(src, "export interface "+of+" {")
	if !ok {
		return fmt.Errorf("no interface %q", of)
	}
	body, _, _ = strings.Cut(body, "\n}\n")
	inner := schema.Block{Attrs: map[string]schema.Attr{}}
	for _, m := range settingsField.FindAllStringSubmatch(body, -1) {
		t, err := declared(m[3])
		if err != nil {
			return err
		}
		letters := "r"
		if m[2] == "?" {
			letters = "o"
		}
		inner.Attrs[m[1]] = attr(t, letters)
	}
	out.Blocks[name] = schema.Nested{Nest: "list", Block: inner}
	return nil
}

func attr(t json.RawMessage, letters string) schema.Attr {
	return schema.Attr{t, mustJSON(letters)}
}

// object is the type of a block that is computed.
func object(b schema.Block) json.RawMessage {
	fields := map[string]any{}
	for name, a := range b.Attrs {
		fields[name] = a.Type()
	}
	for name, n := range b.Blocks {
		fields[name] = []any{n.Nest, object(n.Block)}
	}
	return mustJSON([]any{"object", fields})
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps and strings
	}
	return b
}
