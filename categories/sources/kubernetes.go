package sources

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cordon/categories"
)

// kubernetesSource reads the lists of an API server. It asks for them as often as the source's interval says and holds no watch: lists are
// whole by themselves, and a client library that watches would make the program larger by more than a third.
type kubernetesSource struct {
	s *categories.Source
	*server
}

const (
	// serviceAccount is where a pod finds what it speaks to the API server with.
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

	kubernetesPage    = 500 // objects asked for at once, as many as kubectl asks for
	kubernetesRestart = 3   // A list is begun anew so often when it grew too old while it was read.
)

// newKubernetesSource prepares for the API server of the address; without one, for that of the cluster in which this runs.
func newKubernetesSource(s *categories.Source) (*kubernetesSource, error) {
	address, ca, token := s.Address, s.CA, s.Token
	if address == "" {
		host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
		if host == "" || port == "" {
			return nil, fmt.Errorf("source %q: it needs address, the URL of an API server, since this does not run in a pod of Kubernetes", s.Name)
		}
		address = "https://" + net.JoinHostPort(host, port)
		if ca == "" {
			ca = filepath.Join(serviceAccount, "ca.crt")
		}
		if token == (categories.Secret{}) {
			token.File = filepath.Join(serviceAccount, "token")
		}
	}
	at, err := newServer(s, address, ca, authorization("Bearer", token))
	return &kubernetesSource{s, at}, err
}

func (k *kubernetesSource) Snapshot(ctx context.Context) (*Snapshot, error) {
	var items []map[string]any
	for _, list := range []string{"namespaces", "nodes", "services", "pods"} {
		found, err := k.all(ctx, list)
		for again := 1; isGone(err) && again < kubernetesRestart; again++ {
			found, err = k.all(ctx, list)
		}
		if err != nil {
			return nil, kubernetesHint(err)
		}
		items = append(items, found...)
	}
	out := &Snapshot{Source: k.s.Name}
	out.kubernetes(items)
	return out, nil
}

// all reads every page of a list.
func (k *kubernetesSource) all(ctx context.Context, list string) (out []map[string]any, err error) {
	next := ""
	for {
		query := url.Values{"limit": {fmt.Sprint(kubernetesPage)}}
		if next != "" {
			query.Set("continue", next)
		}
		at := k.page("api/v1/"+list, query.Encode())
		var page struct {
			Kind     string
			Metadata struct{ Continue string }
			Items    []any
		}
		if err := k.getJSON(ctx, at, &page); err != nil {
			return nil, err
		}
		if !strings.HasSuffix(page.Kind, "List") {
			return nil, fmt.Errorf("the answer of %s is of kind %q and no list: is the address that of an API server?", at.Redacted(), page.Kind)
		}
		out = append(out, kubernetesItems(page.Items, page.Kind)...)
		if page.Metadata.Continue == "" {
			return out, nil
		}
		if page.Metadata.Continue == next {
			return nil, fmt.Errorf("%s continues with the same page", at.Redacted())
		}
		next = page.Metadata.Continue
	}
}

func isGone(err error) bool {
	s, ok := errors.AsType[*statusError](err)
	return ok && s.code == http.StatusGone
}

// kubernetesHint says what to do about answers that refuse.
func kubernetesHint(err error) error {
	refused, ok := errors.AsType[*statusError](err)
	if ok && (refused.code == http.StatusUnauthorized || refused.code == http.StatusForbidden) {
		return fmt.Errorf("%w; the token has to be valid, and its account to be allowed to list pods, services, nodes and namespaces of the whole cluster", err)
	}
	return err
}

// kubernetesItems gives the objects of a list. In the lists of an API server they have no kind: it is that of the list.
func kubernetesItems(items []any, list string) (out []map[string]any) {
	for _, v := range objectsOf(items) {
		if kind := strings.TrimSuffix(list, "List"); text(v["kind"]) == "" && kind != "" {
			v["kind"] = kind
		}
		out = append(out, v)
	}
	return out
}

// kubernetes adds pods, services and nodes, which have the labels of their namespaces too.
func (s *Snapshot) kubernetes(items []map[string]any) {
	namespaces := map[string]map[string]any{}
	for _, v := range items {
		if meta := inner(v, "metadata"); text(v["kind"]) == "Namespace" {
			namespaces[text(meta["name"])] = inner(meta, "labels")
		}
	}
	for _, v := range items {
		meta := inner(v, "metadata")
		kind, namespace := text(v["kind"]), text(meta["namespace"])
		labels := map[string][]string{"kind": {kind}}
		set := func(name, value string) {
			if value != "" {
				labels[name] = []string{value}
			}
		}
		set("namespace", namespace)
		set("name", text(meta["name"]))
		for k, value := range inner(meta, "labels") {
			set("label:"+k, text(value))
		}
		for k, value := range namespaces[namespace] {
			set("namespace-label:"+k, text(value))
		}
		if owners := objectsOf(meta["ownerReferences"]); len(owners) > 0 {
			set("owner", text(owners[0]["name"]))
		}
		var addresses []string
		switch kind {
		case "Pod":
			set("node", text(inner(v, "spec")["nodeName"]))
			addresses = podAddresses(v)
		case "Service":
			addresses = serviceAddresses(v)
		case "Node":
			set("node", text(meta["name"]))
			for _, a := range objectsOf(inner(v, "status")["addresses"]) {
				if t := text(a["type"]); t == "InternalIP" || t == "ExternalIP" {
					addresses = append(addresses, text(a["address"]))
				}
			}
		}
		if len(addresses) > 0 {
			s.add(kind+" "+namespace+"/"+text(meta["name"]), addresses, labels)
		}
	}
}

// inner gives an object in an object; nil for none.
func inner(v map[string]any, name string) map[string]any {
	out, _ := v[name].(map[string]any)
	return out
}

// podAddresses gives the addresses that are a pod's alone. One that has ended has none any more. One on the node's network has those of the
// node, which are the node's, but for addresses that are local to each node and that only such a pod answers on: NodeLocal DNSCache
// names them in its argument -localip.
func podAddresses(v map[string]any) []string {
	spec, status := inner(v, "spec"), inner(v, "status")
	if phase := text(status["phase"]); phase == "Succeeded" || phase == "Failed" {
		return nil
	}
	if text(spec["hostNetwork"]) == "true" {
		return nodeLocal(spec)
	}
	addresses := among(status["podIPs"], "ip")
	if one := text(status["podIP"]); addresses == nil && one != "" {
		addresses = []string{one}
	}
	return addresses
}

// nodeLocal gives the link-local addresses behind -localip in the arguments of a pod's containers.
func nodeLocal(spec map[string]any) (out []string) {
	for _, c := range objectsOf(spec["containers"]) {
		args := append(list(c["command"]), list(c["args"])...)
		for i, arg := range args {
			name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
			if name != "localip" || !strings.HasPrefix(arg, "-") {
				continue
			}
			if !joined && i+1 < len(args) {
				value = args[i+1]
			}
			for _, a := range strings.Split(value, ",") {
				if at, err := netip.ParseAddr(strings.TrimSpace(a)); err == nil && at.IsLinkLocalUnicast() {
					out = append(out, at.String())
				}
			}
		}
	}
	return out
}

// serviceAddresses gives the addresses of a service: inside the cluster, and those of its load balancer.
func serviceAddresses(v map[string]any) []string {
	spec := inner(v, "spec")
	addresses := list(spec["clusterIPs"])
	if addresses == nil {
		addresses = []string{text(spec["clusterIP"])}
	}
	addresses = slices.Concat(addresses, list(spec["externalIPs"]), among(inner(inner(v, "status"), "loadBalancer")["ingress"], "ip"))
	return slices.DeleteFunc(addresses, func(a string) bool { return a == "None" || a == "" })
}
