package functions_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

// samTool runs the AWS SAM CLI and cfn-lint as on a machine that has no AWS account, no region and no network: whoever asks the network is
// sent to a port where nobody listens. The CLI keeps notes in its home.
func samTool(t *testing.T) tool.Call {
	t.Helper()
	home := t.TempDir()
	call := tool.Call{Dir: t.TempDir(), Env: []string{
		"HOME=" + home, "SAM_CLI_TELEMETRY=0", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + filepath.Join(home, "none"), "AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(home, "none"),
	}}
	for _, name := range []string{"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, "") // so that it comes back
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		call.Env = append(call.Env, name+"=http://127.0.0.1:1")
	}
	return call
}

// mistake is one to plant in the template, and what is to be said about it.
type mistake struct{ name, old, planted, says string }

func TestTemplateBySAM(t *testing.T) {
	call := samTool(t)
	text := planted.Read(t, "../template.yaml")
	validate := []string{"validate", "--lint", "--template"}
	call.Run(t, "sam", append(validate, write(t, call, "template.yaml", text))...)
	for _, m := range []mistake{
		{"an unknown property for all functions", "    MemorySize: 256", "    MemorySiez: 256", "'MemorySiez' was unexpected"},
		{"an unknown property of a function", "      FunctionName:", "      FunctionNam:", "'FunctionNam' was unexpected"},
		{"a resource that there is not", "AWS::Serverless::HttpApi", "AWS::Serverless::HttpAPI", "HttpAPI' does not exist"},
	} {
		path := write(t, call, "planted.yaml", planted.In(t, text, m.old, m.planted))
		if got := call.Refused(t, "sam", append(validate, path)...); !strings.Contains(got, m.says) {
			t.Errorf("%s: sam says\n%s", m.name, got)
		}
	}
	tool.Checked(t, "sam", version(t, "sam"), "template.yaml, by sam validate --lint")
}

func TestTemplateByLint(t *testing.T) {
	call := samTool(t)
	text := planted.Read(t, "../template.yaml")
	strict := []string{"--format", "parseable", "--non-zero-exit-code", "informational"}
	call.Run(t, "cfn-lint", append(strict, write(t, call, "template.yaml", text))...)
	mistakes := []mistake{
		{"an unknown property", "      Threshold: 4500", "      Treshold: 4500", "'Treshold' was unexpected"},
		{"a wrong type", "      Period: 300", "      Period: often", "'often' is not of type 'integer'"},
		{"a word that AWS does not know", "      Statistic: Maximum", "      Statistic: Most", "'Most' is not one of"},
		{"a missing role", "  KickRole:\n", "  KickRole2:\n", "'KickRole' is not one of"},
		{"a broken !Ref", "Value: !Ref KickFunction", "Value: !Ref KickFunktion", "'KickFunktion' is not one of"},
		{"a broken !GetAtt", "Resource: !GetAtt KickLogs.Arn", "Resource: !GetAtt KickLogs.Name", "'Name' is not one of"},
		{"a broken !Sub", "https://${Api}.", "https://${Apy}.", "'Apy' is not one of"},
		{"a condition that there is not", "!If [HasAlarmTopic", "!If [HasTopic", "'HasTopic' is not one of"},
		{"a default that is not allowed", "    Default: weever\n", "    Default: we ever\n", "E2015"},
		{"a rule about no parameter", "!And [!Equals [!Ref SubnetIds", "!And [!Equals [!Ref Subnets", "'Subnets' is not one of"},
	}
	for i, m := range mistakes {
		strict = append(strict, write(t, call, strconv.Itoa(i)+".yaml", planted.In(t, text, m.old, m.planted)))
	}
	// One run for all: a line for each finding, which begins with the file's name.
	lines := strings.Split(call.Refused(t, "cfn-lint", strict...), "\n")
	for i, m := range mistakes {
		name := string(filepath.Separator) + strconv.Itoa(i) + ".yaml:"
		of := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !strings.Contains(line, name) })
		if said := strings.Join(of, "\n"); !strings.Contains(said, m.says) {
			t.Errorf("%s: cfn-lint says\n%s", m.name, said)
		}
	}
	tool.Checked(t, "cfn-lint", version(t, "cfn-lint"), "template.yaml")
}

// write puts a file into the folder that the call runs in.
func write(t *testing.T, call tool.Call, name, text string) string {
	t.Helper()
	path := filepath.Join(call.Dir, name)
	planted.Write(t, path, text)
	return path
}

// version is the last word of what a program says of itself.
func version(t *testing.T, name string) string {
	t.Helper()
	words := strings.Fields(samTool(t).Run(t, name, "--version"))
	return words[len(words)-1]
}
