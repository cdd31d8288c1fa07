package functions_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/awslabs/goformation/v7/cloudformation"

	"weever/shared/testkit/planted"
)

// What no linter asks for: who may call, what the functions may do, what is watched and how long things are kept.
func TestTemplateIsSafe(t *testing.T) {
	text := planted.Read(t, "../template.yaml")
	for name, params := range map[string]map[string]any{"outside a VPC, nobody told": nil, "inside, with a topic": whole} {
		t.Run(name, func(t *testing.T) {
			if got := faults(t, text, params); len(got) > 0 {
				t.Error(strings.Join(got, "\n"))
			}
		})
	}
	mistakes := map[string]struct{ old, mistake, says string }{
		"a function without a role":     {"      Role: !GetAtt KickRole.Arn\n", "", "Kick: has no role of its own"},
		"a function with another's":     {"      Role: !GetAtt KickRole.Arn\n", "      Role: !GetAtt ListRole.Arn\n", "Kick: has no role of its own"},
		"anybody may call":              {"        DefaultAuthorizer: AWS_IAM\n", "", "Api: requests need not be signed"},
		"anybody may call one route":    {"Path: /rooms }", "Path: /rooms, Auth: { Authorizer: NONE } }", "List: GET /rooms has rules of its own"},
		"a route of another API":        {"{ ApiId: !Ref Api, Method: GET, Path: /rooms }", "{ Method: GET, Path: /rooms }", "List: GET /rooms is not of Api"},
		"any log":                       {"Resource: !GetAtt ListLogs.Arn", `Resource: "*"`, "ListRole: may act on *"},
		"any action":                    {`Action: ["logs:CreateLogStream", "logs:PutLogEvents"], Resource: !GetAtt ListLogs.Arn`, `Action: "logs:*", Resource: !GetAtt ListLogs.Arn`, "ListRole: may logs:*"},
		"a time limit below the API's":  {"    Timeout: 10", "    Timeout: 5", "Globals: Timeout"},
		"a URL that is not a secret":    {"WEEVER_REDIS: !Sub \"{{resolve:secretsmanager:", "WEEVER_REDIS: !Sub \"{{resolve:ssm:", "Globals: WEEVER_REDIS is not from Secrets Manager"},
		"logs that are kept for ever":   {`/kick", RetentionInDays: !Ref LogRetentionDays`, `/kick"`, "KickLogs: kept for ever"},
		"errors that nobody sees":       {"  KickErrors:\n", "  KickErrors2:\n", "there is no alarm KickErrors"},
		"an alarm for another function": {"Dimensions: [{ Name: FunctionName, Value: !Ref KickFunction }]", "Dimensions: [{ Name: FunctionName, Value: !Ref ListFunction }]", "KickErrors: watches AWS/Lambda Errors"},
		"an alarm after the limit":      {"      Threshold: 4500", "      Threshold: 5500", "CreateDuration: goes off at 5500"},
		"an alarm that tells nobody":    {"      AlarmActions:", "      InsufficientDataActions:", "CreateErrors: does not tell the topic"},
		"an alarm when nothing happens": {"TreatMissingData: notBreaching", "TreatMissingData: breaching", "CreateErrors: goes off when nobody calls"},
		"functions outside of the VPC":  {"SubnetIds: !Split [\",\", !Ref SubnetIds]", "SubnetIds: []", "Globals: the functions are in"},
		"a VPC without permission":      {"ManagedPolicyArns: [!If [InVpc, !Ref NetworkPolicy, !Ref \"AWS::NoValue\"]]", "ManagedPolicyArns: []", "CreateRole: managed policies"},
	}
	for name, m := range mistakes {
		if got := strings.Join(faults(t, planted.In(t, text, m.old, m.mistake), whole), "\n"); !strings.Contains(got, m.says) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// whole has a value for every parameter that may be empty.
var whole = map[string]any{
	"RedisSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:weever-redis-AbCdEf",
	"SubnetIds":      "subnet-0a1b2c3d,subnet-1a2b3c4d", "SecurityGroupIds": "sg-0a1b2c3d",
	"AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:oncall",
}

func faults(t *testing.T, template string, params map[string]any) (found []string) {
	t.Helper()
	tpl, err := parse(t, template, params)
	if err != nil {
		t.Fatal(err)
	}
	fault := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	api, err := tpl.GetServerlessHttpApiWithName("Api")
	if err != nil {
		t.Fatal(err)
	}
	if a := api.Auth; a == nil || text(a.DefaultAuthorizer) != "AWS_IAM" || !strings.Contains(template, "  EnableIamAuthorizer: true\n") {
		fault("Api: requests need not be signed")
	}
	for _, title := range functions {
		fn := function(t, tpl, title)
		if text(fn.Role) != title+"Role.Arn" {
			fault("%s: has no role of its own", title)
		}
		for _, e := range fn.Events {
			p := e.Properties.HttpApiEvent
			if text(p.ApiId) != "Api" {
				fault("%s: %s %s is not of Api", title, text(p.Method), text(p.Path))
			}
			if p.Auth != nil {
				fault("%s: %s %s has rules of its own about who may call", title, text(p.Method), text(p.Path))
			}
		}
		roleFaults(t, tpl, title, params != nil, fault)
		for _, metric := range []string{"Errors", "Throttles", "Duration"} {
			alarmFaults(tpl, alarm{title + metric, "AWS/Lambda", metric, "FunctionName", title + "Function"}, params != nil, fault)
		}
	}
	alarmFaults(tpl, alarm{"ApiServerErrors", "AWS/ApiGateway", "5xx", "ApiId", "Api"}, params != nil, fault)
	for name, logs := range tpl.GetAllLogsLogGroupResources() {
		if text(logs.RetentionInDays) != "30" {
			fault("%s: kept for ever", name)
		}
	}
	globalFaults(t, tpl, params != nil, fault)
	return found
}

// roleFaults looks whether a function may write to its own log, and do nothing else.
func roleFaults(t *testing.T, tpl *cloudformation.Template, title string, inVPC bool, fault func(string, ...any)) {
	t.Helper()
	role, err := tpl.GetIAMRoleWithName(title + "Role")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{""} // AWS::NoValue
	if inVPC {
		want = []string{"NetworkPolicy"}
	}
	if !slices.Equal(role.ManagedPolicyArns, want) {
		fault("%sRole: managed policies %q", title, role.ManagedPolicyArns)
	}
	for _, p := range role.Policies {
		var doc struct {
			Statement []struct{ Action, Resource any }
		}
		if err := json.Unmarshal([]byte(text(p.PolicyDocument)), &doc); err != nil {
			t.Fatal(err)
		}
		for _, s := range doc.Statement {
			if got := text(s.Action); got != `["logs:CreateLogStream","logs:PutLogEvents"]` {
				fault("%sRole: may %s", title, got)
			}
			if got := text(s.Resource); got != title+"Logs.Arn" {
				fault("%sRole: may act on %s", title, got)
			}
		}
	}
}

// alarm is what one is to watch.
type alarm struct{ name, namespace, metric, dimension, of string }

func alarmFaults(tpl *cloudformation.Template, want alarm, topic bool, fault func(string, ...any)) {
	a, err := tpl.GetCloudWatchAlarmWithName(want.name)
	if err != nil {
		fault("there is no alarm %s", want.name)
		return
	}
	if len(a.Dimensions) != 1 || text(a.Namespace) != want.namespace || text(a.MetricName) != want.metric ||
		a.Dimensions[0].Name != want.dimension || a.Dimensions[0].Value != want.of {
		fault("%s: watches %s %s of %s", want.name, text(a.Namespace), text(a.MetricName), text(a.Dimensions))
	}
	// The functions give up after 5 s.
	if got := text(a.Threshold); want.metric == "Duration" && got != "4500" || want.metric != "Duration" && got != "1" {
		fault("%s: goes off at %s", want.name, got)
	}
	if text(a.TreatMissingData) != "notBreaching" {
		fault("%s: goes off when nobody calls", want.name)
	}
	tells := "null"
	if topic {
		tells = `["` + whole["AlarmTopicArn"].(string) + `"]`
	}
	if text(a.AlarmActions) != tells || text(a.OKActions) != tells {
		fault("%s: does not tell the topic", want.name)
	}
}

func globalFaults(t *testing.T, tpl *cloudformation.Template, inVPC bool, fault func(string, ...any)) {
	t.Helper()
	all, err := tpl.GetServerlessGlobalFunction()
	if err != nil {
		t.Fatal(err)
	}
	if all.Timeout == nil || *all.Timeout < 8 { // 5 s for Redis, and a cold start
		fault("Globals: Timeout is %s s", text(all.Timeout))
	}
	vars := all.Environment.Variables
	if url := vars["WEEVER_REDIS"]; !strings.HasPrefix(url, "{{resolve:secretsmanager:") || !strings.HasSuffix(url, ":SecretString:url::}}") {
		fault("Globals: WEEVER_REDIS is not from Secrets Manager")
	}
	if len(vars) != 2 || vars["WEEVER_NAMESPACE"] != "weever" {
		fault("Globals: variables %v", vars)
	}
	want := "null"
	if inVPC {
		want = `{"SecurityGroupIds":["sg-0a1b2c3d"],"SubnetIds":["subnet-0a1b2c3d","subnet-1a2b3c4d"]}`
	}
	if got := text(all.VpcConfig); got != want {
		fault("Globals: the functions are in %s", got)
	}
}

// text is a value of a template as it stands there, or as JSON.
func text(v any) string {
	b, _ := json.Marshal(v)
	var s string
	if json.Unmarshal(b, &s) == nil && string(b) != "null" {
		return s
	}
	return string(b)
}
