package kubernetes

// This file is as much of Kubernetes' objects as the tests look at.

type labels map[string]string

// within reports whether all labels of a selector are there; one that selects everything is none.
func (selector labels) within(l labels) bool {
	for k, v := range selector {
		if l[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

type selector struct{ MatchLabels labels }

type deployment struct {
	Replicas                int
	Selector                selector
	ProgressDeadlineSeconds int
	Strategy                struct {
		RollingUpdate struct{ MaxSurge, MaxUnavailable any }
	}
	Template struct {
		Metadata struct{ Labels labels }
		Spec     pod
	}
}

type pod struct {
	HostNetwork                   bool
	ServiceAccountName            string
	TerminationGracePeriodSeconds int
	EnableServiceLinks            *bool
	AutomountServiceAccountToken  *bool
	SecurityContext               struct{ RunAsUser, RunAsGroup, FSGroup int }
	Containers                    []container
	Volumes                       []volume
}

type container struct {
	Name, Image                                 string
	Command, Args                               []string
	Env                                         []variable
	Ports                                       []port
	StartupProbe, LivenessProbe, ReadinessProbe *probe
	Lifecycle                                   struct{ PreStop *hook }
	VolumeMounts                                []mount
	SecurityContext                             struct{ ReadOnlyRootFilesystem bool }
}

type variable struct {
	Name, Value string
	ValueFrom   *struct {
		FieldRef *struct{ FieldPath string }
	}
}

type port struct {
	Name, Protocol          string
	ContainerPort, HostPort int
}

type probe struct {
	HTTPGet                                         httpGet
	PeriodSeconds, TimeoutSeconds, FailureThreshold int
}

type httpGet struct {
	Path, Scheme, Host string
	Port               any // name or number
}

type hook struct{ Exec struct{ Command []string } }

type mount struct {
	Name, MountPath string
	ReadOnly        bool
}

type volume struct {
	Name   string
	Secret *struct {
		SecretName  string
		DefaultMode int
		Items       []struct{ Key, Path string }
	}
}

type service struct {
	Type, SessionAffinity string
	Selector              labels
	Ports                 []struct {
		Name, Protocol string
		Port           int
		TargetPort     any
	}
}

type networkPolicy struct {
	PodSelector selector
	PolicyTypes []string
	Ingress     []struct {
		Ports []struct {
			Protocol string
			Port     any
		}
		From []any
	}
}

type disruptionBudget struct {
	MaxUnavailable any
	Selector       selector
}

type autoscaler struct {
	ScaleTargetRef           struct{ Kind, Name string }
	MinReplicas, MaxReplicas int
	Metrics                  []struct {
		Type              string
		ContainerResource *struct{ Container string }
		Pods              *struct{ Metric struct{ Name string } }
	}
}

type ingress struct {
	TLS   []struct{ Hosts []string }
	Rules []struct {
		Host string
		HTTP struct {
			Paths []struct {
				Backend struct {
					Service struct {
						Name string
						Port struct{ Name string }
					}
				}
			}
		}
	}
}

type serviceMonitor struct {
	Selector  selector
	Endpoints []struct {
		Port, Path    string
		Authorization struct {
			Credentials struct{ Name, Key string }
		}
	}
}

type prometheusRule struct {
	Groups []struct{ Rules []struct{ Alert string } }
}
