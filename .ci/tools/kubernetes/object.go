package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	apiservice "k8s.io/kubernetes/pkg/api/service"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/networking/ingress"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"sigs.k8s.io/yaml"
)

// namespace is that of objects which name none.
const namespace = "default"

// healthCheckPort stands for the port that the API server allots to a balancer which asks the machines whether they have a pod.
const healthCheckPort = 32000

// strategies are what the API server asks before it keeps an object.
var strategies = map[string]rest.RESTCreateStrategy{
	"apps/v1, Kind=Deployment":                     deployment.Strategy,
	"autoscaling/v2, Kind=HorizontalPodAutoscaler": horizontalpodautoscaler.Strategy,
	"networking.k8s.io/v1, Kind=Ingress":           ingress.Strategy,
	"networking.k8s.io/v1, Kind=NetworkPolicy":     networkpolicy.Strategy,
	"policy/v1, Kind=PodDisruptionBudget":          poddisruptionbudget.Strategy,
	"/v1, Kind=Service":                            service.Strategy,
	"/v1, Kind=ServiceAccount":                     serviceaccount.Strategy,
}

// custom are the kinds of others, of which the types are all that is known.
var custom = map[string]func() any{
	"monitoring.coreos.com/v1, Kind=ServiceMonitor": func() any { return new(monitoring.ServiceMonitor) },
	"monitoring.coreos.com/v1, Kind=PrometheusRule": func() any { return new(monitoring.PrometheusRule) },
}

// object is a valid one.
type object struct {
	name string // with its kind
	json json.RawMessage
	pod  *corev1.PodTemplateSpec // nil: there is none in it
}

// read judges one document.
func read(doc []byte) (*object, error) {
	var head metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(doc, &head); err != nil {
		return nil, err
	}
	gvk := head.GroupVersionKind()
	o := &object{name: gvk.Kind + " " + head.Name}
	fail := func(err error) (*object, error) { return nil, fmt.Errorf("%s: %w", o.name, err) }
	if fresh, ok := custom[gvk.String()]; ok {
		typed := fresh()
		if err := yaml.UnmarshalStrict(doc, typed); err != nil {
			return fail(err)
		}
		raw, err := json.Marshal(typed)
		o.json = raw
		return o, err
	}
	strategy, ok := strategies[gvk.String()]
	if !ok {
		return fail(fmt.Errorf("%s is not a kind that is known here", gvk))
	}
	codecs := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	internal, _, err := codecs.UniversalDecoder().Decode(doc, nil, nil)
	if err != nil {
		return fail(err)
	}
	if err := create(strategy, gvk, internal); err != nil {
		return fail(err)
	}
	versioned, err := versioned(internal, gvk)
	if err != nil {
		return fail(err)
	}
	o.pod = podOf(versioned)
	o.json, err = json.Marshal(versioned)
	return o, err
}

// create does what comes before an object is kept. What kubectl would show as a warning is a fault, too.
func create(strategy rest.RESTCreateStrategy, gvk schema.GroupVersionKind, internal runtime.Object) error {
	meta, ok := internal.(metav1.Object)
	if !ok {
		return errors.New("it has no metadata")
	}
	if meta.GetNamespace() == "" {
		meta.SetNamespace(namespace)
	}
	var w warnings
	ctx := request.WithNamespace(warning.WithWarningRecorder(context.Background(), &w), meta.GetNamespace())
	ctx = request.WithRequestInfo(ctx, &request.RequestInfo{IsResourceRequest: true, Verb: "create", APIGroup: gvk.Group, APIVersion: gvk.Version})
	rest.FillObjectMetaSystemFields(meta)
	if s, ok := internal.(*core.Service); ok && apiservice.NeedsHealthCheck(s) && s.Spec.HealthCheckNodePort == 0 {
		s.Spec.HealthCheckNodePort = healthCheckPort
	}
	if err := rest.BeforeCreate(strategy, ctx, internal); err != nil {
		return err
	}
	return errors.Join(w...)
}

// versioned is an object as clients get it.
func versioned(internal runtime.Object, gvk schema.GroupVersionKind) (runtime.Object, error) {
	o, err := legacyscheme.Scheme.ConvertToVersion(internal, gvk.GroupVersion())
	if err == nil {
		o.GetObjectKind().SetGroupVersionKind(gvk)
	}
	return o, err
}

type warnings []error

// AddWarning implements warning.Recorder.
func (w *warnings) AddWarning(_, text string) { *w = append(*w, errors.New("warning: "+text)) }
