package main

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// levels are those of pod security, as the API server's admission has them.
type levels struct{ evaluator policy.Evaluator }

func newLevels() (levels, error) {
	e, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	return levels{e}, err
}

// judge adds what an object's pods do to what each level forbids.
func (l levels) judge(o *object, forbidden map[string][]string) {
	if o.pod == nil {
		return
	}
	for _, level := range []api.Level{api.LevelBaseline, api.LevelRestricted} {
		results := l.evaluator.EvaluatePod(api.LevelVersion{Level: level, Version: api.LatestVersion()}, &o.pod.ObjectMeta, &o.pod.Spec)
		for _, r := range results {
			if !r.Allowed {
				forbidden[string(level)] = append(forbidden[string(level)], r.ForbiddenReason)
			}
		}
	}
}

// podOf is what an object makes pods from.
func podOf(o runtime.Object) *corev1.PodTemplateSpec {
	if d, ok := o.(*appsv1.Deployment); ok {
		return &d.Spec.Template
	}
	return nil
}
