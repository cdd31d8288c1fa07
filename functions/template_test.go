package functions_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/awslabs/goformation/v7"
	"github.com/awslabs/goformation/v7/cloudformation"
	"github.com/awslabs/goformation/v7/cloudformation/serverless"
	"github.com/awslabs/goformation/v7/intrinsics"

	"weever/shared/controlapi"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/store"
	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
	"weever/shared/tokens"
)

// functions are those of the template, as they are called there.
var functions = []string{"Create", "List", "Kick"}

// differs is what SAM knows and goformation's schema, which is of 2024, does not, and what it misreads: it gets the template with these
// replaced.
var differs = []struct{ has, gets string }{
	{"      AccessLogSettings:\n", "      AccessLogSetting:\n"},
	{"        EnableIamAuthorizer: true\n", ""},
	{"      LoggingConfig: { LogGroup: !Ref CreateLogs }\n", ""},
	{"      LoggingConfig: { LogGroup: !Ref ListLogs }\n", ""},
	{"      LoggingConfig: { LogGroup: !Ref KickLogs }\n", ""},
	{"    Condition: InVpc\n", ""}, // it takes a resource with a condition for the condition
}

// parse reads a template with goformation, which refuses properties and types that are not in its schema. References to resources
// become "NAME" or "NAME.ATTRIBUTE".
func parse(t *testing.T, text string, params map[string]any) (*cloudformation.Template, error) {
	t.Helper()
	for _, n := range differs {
		text = planted.In(t, text, n.has, n.gets)
	}
	return goformation.ParseYAMLWithOptions([]byte(text), &intrinsics.ProcessorOptions{
		EvaluateConditions: true,
		ParameterOverrides: params,
		IntrinsicHandlerOverrides: map[string]intrinsics.IntrinsicHandler{
			"Ref": func(name string, input, template any) any {
				if v := intrinsics.Ref(name, input, template); v != nil || input == "AWS::NoValue" {
					return v
				}
				return input
			},
			"Fn::GetAtt": func(_ string, input, _ any) any { return input },
		},
	})
}

func TestTemplateByGoformation(t *testing.T) {
	text := planted.Read(t, "../template.yaml")
	if _, err := parse(t, text, nil); err != nil {
		t.Fatal(err)
	}
	mistakes := map[string]struct{ old, mistake, says string }{
		"an unknown property":   {"      FunctionName:", "      FunctionNam:", "FunctionNam"},
		"a number that is none": {"      EvaluationPeriods: 3", "      EvaluationPeriods: some", "EvaluationPeriods"},
		"a text that is a list": {"      AlarmDescription: ", "      AlarmDescription: [] # ", "AlarmDescription"},
		"a list that is none": {
			"      Policies:\n        - PolicyName: own-log\n          PolicyDocument:",
			"      Policies:\n          PolicyName: own-log\n          PolicyDocument:", "Policies",
		},
		"an alarm's unknown property":  {"      Threshold: 4500", "      Treshold: 4500", "Treshold"},
		"a log's unknown property":     {"RetentionInDays:", "RetentionDays:", "RetentionDays"},
		"a resource that has no type":  {"    Type: AWS::Logs::LogGroup\n", "", "Type"},
		"brackets that are not closed": {"Architectures: [!Ref Architecture]", "Architectures: [!Ref Architecture", "YAML"},
	}
	for name, m := range mistakes {
		if _, err := parse(t, planted.In(t, text, m.old, m.mistake), nil); err == nil || !strings.Contains(err.Error(), m.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	release := tool.Call{}.Run(t, "go", "list", "-m", "-f", "{{.Version}}", "github.com/awslabs/goformation/v7")
	tool.Checked(t, "goformation", release, "types and properties of template.yaml")
}

// The gateway passes on what the template names and the functions serve what their mains name: a route in one of them alone is one that
// nobody can call, or one that answers 404.
func TestTemplateRoutesWhatTheFunctionsServe(t *testing.T) {
	text := planted.Read(t, "../template.yaml")
	if got := wrongRoutes(t, text); len(got) > 0 {
		t.Error(strings.Join(got, "\n"))
	}
	for _, m := range []struct{ old, mistake, says string }{
		{"Method: GET, Path: /rooms", "Method: GET, Path: /room", "List: GET /room is not a route of the API"},
		{"Method: GET, Path: /rooms", "Method: PUT, Path: /rooms", "no function serves GET /rooms"},
		{"Method: GET, Path: /rooms", "Method: GET", "List: GET null is not a route of the API"},
		{"Rooms: { Type: HttpApi", "Rooms: { Type: HttpAPI", "List: Rooms is no HttpApi"},
		{"Method: GET, Path: /rooms", "Verb: GET, Path: /rooms", "List: Rooms is no HttpApi"},
		{"Method: POST, Path: /create/sub", "Method: POST, Path: /create/pub", "no function serves POST /create/sub"},
		{`Method: GET, Path: "/list/sub/{room}"`, `Method: DELETE, Path: "/sub/{room}/{id}"`, "List: DELETE /sub/{room}/{id} is answered Not Found"},
		{"${Architecture}/kick/", "${Architecture}/list/", "Kick: CodeUri"},
		{"${Architecture}/kick/", "arm64/kick/", "Kick: CodeUri"},
	} {
		if got := strings.Join(wrongRoutes(t, planted.In(t, text, m.old, m.mistake)), "\n"); !strings.Contains(got, m.says) {
			t.Errorf("%s: got %q", m.mistake, got)
		}
	}
}

func wrongRoutes(t *testing.T, template string) (wrong []string) {
	t.Helper()
	tpl, err := parse(t, template, map[string]any{"Architecture": "x86_64"})
	if err != nil {
		t.Fatal(err)
	}
	db := redisdbtest.Open(t, "redis://127.0.0.1:1") // nothing listens there: 503 says that a route exists
	left := []string{
		"POST /create/pub", "POST /create/sub", "GET /list/pub/{room}", "GET /list/sub/{room}", "GET /rooms",
		"DELETE /pub/{room}/{id}", "DELETE /sub/{room}/{id}",
	}
	all := slices.Clone(left)
	parts := map[string]controlapi.Routes{"Create": controlapi.Create, "List": controlapi.List, "Kick": controlapi.Kick}
	for _, title := range functions {
		name := strings.ToLower(title)
		if main := planted.Read(t, name+"/main.go"); !strings.Contains(main, "controlapi."+title+"}") {
			t.Errorf("functions/%s does not serve controlapi.%s", name, title)
		}
		fn := function(t, tpl, title)
		if fn.CodeUri == nil || *fn.CodeUri.String != "bin/package/lambda/x86_64/"+name+"/" {
			wrong = append(wrong, title+": CodeUri is not where the Makefile puts the bootstrap")
		}
		h := controlapi.New(controlapi.Config{Tokens: tokens.New(db, nil), Store: store.New(db, nil), Routes: parts[title]})
		for event, e := range fn.Events {
			if e.Type != "HttpApi" || e.Properties.HttpApiEvent == nil { // the latter by properties that it has not
				wrong = append(wrong, title+": "+event+" is no HttpApi")
				continue
			}
			method, path := text(e.Properties.HttpApiEvent.Method), text(e.Properties.HttpApiEvent.Path)
			if !slices.Contains(all, method+" "+path) {
				wrong = append(wrong, title+": "+method+" "+path+" is not a route of the API")
				continue
			}
			left = slices.DeleteFunc(left, func(route string) bool { return route == method+" "+path })
			r := httptest.NewRequestWithContext(t.Context(), method, strings.NewReplacer("{room}", "lobby", "{id}", "alice").Replace(path),
				strings.NewReader(`{"room":"lobby","id":"alice"}`))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable {
				wrong = append(wrong, title+": "+method+" "+path+" is answered "+http.StatusText(w.Code))
			}
		}
	}
	for _, route := range left {
		wrong = append(wrong, "no function serves "+route)
	}
	return wrong
}

func function(t *testing.T, tpl *cloudformation.Template, title string) *serverless.Function {
	t.Helper()
	fn, err := tpl.GetServerlessFunctionWithName(title + "Function")
	if err != nil {
		t.Fatal(err)
	}
	return fn
}

// What CloudFormation refuses before it makes anything, and with a sentence of ours.
func TestTemplateParameters(t *testing.T) {
	tpl, err := parse(t, planted.Read(t, "../template.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:weever-redis-AbCdEf"
	values := map[string]struct{ good, bad []string }{
		"RedisSecretArn": {
			[]string{arn, strings.Replace(arn, "aws", "aws-cn", 1)},
			[]string{"", "rediss://user:password@redis:6379", "weever-redis", strings.Replace(arn, "secretsmanager", "ssm", 1)},
		},
		"RedisSecretVersionId": {[]string{"", "EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE"}, []string{"a:b", "a b", "}}"}},
		"Namespace":            {[]string{"weever", "a~b_c-1"}, []string{"", "weever:prod", "we ever", "*", strings.Repeat("a", 65)}},
		"SubnetIds": {
			[]string{"", "subnet-0a1b2c3d", "subnet-0a1b2c3d4e5f60718,subnet-0a1b2c3d4e5f60719"},
			[]string{"subnet-0a1b2c3d, subnet-1a2b3c4d", "sg-0a1b2c3d", "vpc-0a1b2c3d", ",", "10.0.0.0/24"},
		},
		"SecurityGroupIds": {[]string{"", "sg-0a1b2c3d,sg-0a1b2c3d4e5f60718"}, []string{"default", "subnet-0a1b2c3d", "sg-0a1b2c3d,"}},
		"Architecture":     {[]string{"arm64", "x86_64"}, []string{"", "amd64", "aarch64"}},
		"LogRetentionDays": {[]string{"1", "30", "3653"}, []string{"0", "2", "forever"}},
		"AlarmTopicArn": {
			[]string{"", "arn:aws:sns:eu-central-1:123456789012:oncall"},
			[]string{"oncall", "oncall@example.com", "arn:aws:sqs:eu-central-1:123456789012:oncall"},
		},
	}
	for name, p := range tpl.Parameters {
		try, known := values[name]
		if !known || p.Description == nil || p.ConstraintDescription == nil {
			t.Errorf("%s needs a description, a sentence for who sets it wrong, and values in this test", name)
			continue
		}
		for _, v := range try.good {
			if !allows(p, v) {
				t.Errorf("%s refuses %q", name, v)
			}
		}
		for _, v := range try.bad {
			if allows(p, v) {
				t.Errorf("%s allows %q", name, v)
			}
		}
	}
	if len(values) != len(tpl.Parameters) {
		t.Errorf("%d parameters are tried, the template has %d", len(values), len(tpl.Parameters))
	}
}

// allows does what CloudFormation does with a parameter's value.
func allows(p cloudformation.Parameter, value string) bool {
	for _, v := range p.AllowedValues {
		if text(v) == value {
			return true
		}
	}
	return p.AllowedValues == nil && p.AllowedPattern != nil && regexp.MustCompile(*p.AllowedPattern).MatchString(value)
}
