// Package kubernetestest checks what Cordon writes for Kubernetes with the code of those who read it: the API server's
// own validation of NetworkPolicies, the decisions that cyclonus makes from them, and the validation of Cilium's agent.
// It is a module of its own, because these bring some hundred megabytes of code with them. "make targets" runs it.
package kubernetestest
