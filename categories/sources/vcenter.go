//go:build !no_vcenter

package sources

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"cordon/categories"
)

// vcenterSource reads the running virtual machines of a vCenter: where they run, on which networks they are, and their tags.
type vcenterSource struct{ s *categories.Source }

// maxTagged is how many machines are asked for their tags at once.
const maxTagged = 1000

func newVCenterSource(s *categories.Source) (*vcenterSource, error) {
	if _, err := newServer(s, s.Address, s.CA, nil); err != nil { // It says the same of an address as for other servers.
		return nil, err
	}
	return &vcenterSource{s}, nil
}

func (v *vcenterSource) Snapshot(ctx context.Context) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	address, err := soap.ParseURL(v.s.Address)
	if err != nil {
		return nil, err
	}
	password, err := secret(v.s.Password)
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	transport := soap.NewClient(address, false)
	if v.s.CA != "" {
		if err := transport.SetRootCAs(v.s.CA); err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
	}
	client, err := vim25.NewClient(ctx, transport)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address.Host, err)
	}
	user := url.UserPassword(v.s.User, password)
	login := session.NewManager(client)
	if err := login.Login(ctx, user); err != nil {
		return nil, fmt.Errorf("%s: log in as %s: %w", address.Host, v.s.User, err)
	}
	defer whenDone(ctx, login.Logout)
	inventory, err := readInventory(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address.Host, err)
	}
	api := rest.NewClient(client)
	if err := api.Login(ctx, user); err != nil {
		return nil, fmt.Errorf("%s: log in as %s for tags: %w", address.Host, v.s.User, err)
	}
	defer whenDone(ctx, api.Logout)
	tagged, err := readTags(ctx, tags.NewManager(api), inventory.machines)
	if err != nil {
		return nil, fmt.Errorf("%s: tags: %w", address.Host, err)
	}
	out := &Snapshot{Source: v.s.Name}
	for i := range inventory.machines {
		inventory.add(out, &inventory.machines[i], tagged)
	}
	return out, nil
}

// whenDone ends a session at the server, also where the time for reading is over.
func whenDone(ctx context.Context, logout func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = logout(ctx) // the server ends an idle session by itself
}

// inventory is what a vCenter has: machines, and everything else by its reference.
type inventory struct {
	machines []mo.VirtualMachine
	named    map[types.ManagedObjectReference]mo.ManagedEntity
}

func readInventory(ctx context.Context, client *vim25.Client) (*inventory, error) {
	all, err := view.NewManager(client).CreateContainerView(ctx, client.ServiceContent.RootFolder, nil, true)
	if err != nil {
		return nil, err
	}
	defer whenDone(ctx, all.Destroy)
	out := &inventory{named: map[types.ManagedObjectReference]mo.ManagedEntity{}}
	err = all.Retrieve(ctx, []string{"VirtualMachine"}, []string{"name", "parent", "network", "runtime.powerState", "runtime.host", "guest.ipAddress", "guest.net"}, &out.machines)
	if err != nil {
		return nil, fmt.Errorf("virtual machines: %w", err)
	}
	var others []mo.ManagedEntity
	if err := all.Retrieve(ctx, []string{"ManagedEntity"}, []string{"name", "parent"}, &others); err != nil {
		return nil, fmt.Errorf("hosts and folders: %w", err)
	}
	for _, o := range others {
		out.named[o.Self] = o
	}
	// A network's name is a property of its own.
	var networks []mo.Network
	if err := all.Retrieve(ctx, []string{"Network"}, []string{"name"}, &networks); err != nil {
		return nil, fmt.Errorf("networks: %w", err)
	}
	for i := range networks {
		n := out.named[networks[i].Self]
		n.Self, n.Name = networks[i].Self, networks[i].Name
		out.named[n.Self] = n
	}
	slices.SortFunc(out.machines, func(a, b mo.VirtualMachine) int { return strings.Compare(a.Self.Value, b.Self.Value) })
	return out, nil
}

// name gives what an object is called; vCenter escapes the characters /, \ and % in names.
func (v *inventory) name(of types.ManagedObjectReference) string { return unescaped(v.named[of].Name) }

func unescaped(name string) string {
	return strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", `\`, "%5C", `\`, "%25", "%").Replace(name)
}

// above gives the objects of a kind above an object, the innermost first.
func (v *inventory) above(at *types.ManagedObjectReference, kind string) (out []types.ManagedObjectReference) {
	for range len(v.named) + 1 { // a circle ends
		if at == nil {
			break
		}
		if at.Type == kind {
			out = append(out, *at)
		}
		at = v.named[*at].Parent
	}
	return out
}

// add adds the addresses of a machine that runs, each with the port group of its adapter. One that is switched off has no address: another
// may have it by now.
func (v *inventory) add(to *Snapshot, vm *mo.VirtualMachine, tagged map[types.ManagedObjectReference]labels) {
	if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff {
		return
	}
	of := v.labels(vm)
	for name, values := range tagged[vm.Self] {
		of[name] = values
	}
	ref := vm.Self.Value + " " + unescaped(vm.Name)
	if vm.Guest == nil {
		to.problem(ref, "it has no address: VMware Tools give none")
		return
	}
	known := 0
	for _, nic := range vm.Guest.Net {
		with := of
		if nic.Network != "" {
			with = labels{}
			for name, values := range of {
				with[name] = values
			}
			with["portgroup"] = []string{unescaped(nic.Network)}
		}
		known += to.addGuest(ref, nic.IpAddress, with)
	}
	if known == 0 && to.addGuest(ref, []string{vm.Guest.IpAddress}, of) == 0 {
		to.problem(ref, "it has no address: VMware Tools give none")
	}
}

// addGuest adds addresses that a guest says it has, but for those that mean something on one host or link only, and gives their number.
func (s *Snapshot) addGuest(ref string, addresses []string, with labels) int {
	addresses = slices.DeleteFunc(slices.Clone(addresses), func(a string) bool {
		at, err := netip.ParseAddr(a)
		return err != nil || categories.KindOf(at) == categories.Local
	})
	if len(addresses) > 0 {
		s.add(ref, addresses, with)
	}
	return len(addresses)
}

// labels gives where a machine is: vm, host, cluster, datacenter, folder and the port groups of all its adapters.
func (v *inventory) labels(vm *mo.VirtualMachine) labels {
	out := labels{"vm": {unescaped(vm.Name)}}
	set := func(label, value string) {
		if value != "" {
			out[label] = []string{value}
		}
	}
	if host := vm.Runtime.Host; host != nil {
		set("host", v.name(*host))
		for _, kind := range []string{"ComputeResource", "ClusterComputeResource"} {
			if at := v.above(host, kind); len(at) > 0 {
				set("cluster", v.name(at[0]))
			}
		}
	}
	if at := v.above(vm.Parent, "Datacenter"); len(at) > 0 {
		set("datacenter", v.name(at[0]))
	}
	var path []string
	for _, folder := range v.above(vm.Parent, "Folder") {
		// The folder of all machines of a datacenter, and those above it, are nobody's choice.
		if above := v.named[folder].Parent; above == nil || above.Type == "Datacenter" {
			break
		}
		path = append(path, v.name(folder))
	}
	slices.Reverse(path)
	set("folder", strings.Join(path, "/"))
	for _, n := range vm.Network {
		if name := v.name(n); name != "" && !slices.Contains(out["portgroup"], name) {
			out["portgroup"] = append(out["portgroup"], name)
		}
	}
	return out
}

// readTags gives the labels that machines have by their tags: tag:CATEGORY for each category, and tag for all.
func readTags(ctx context.Context, m *tags.Manager, machines []mo.VirtualMachine) (map[types.ManagedObjectReference]labels, error) {
	list, err := m.GetCategories(ctx)
	if err != nil {
		return nil, err
	}
	category := map[string]string{}
	for _, c := range list {
		category[c.ID] = c.Name
	}
	out := map[types.ManagedObjectReference]labels{}
	for part := range slices.Chunk(machines, maxTagged) {
		refs := make([]mo.Reference, len(part))
		for i := range part {
			refs[i] = part[i].Self
		}
		attached, err := m.GetAttachedTagsOnObjects(ctx, refs)
		if err != nil {
			return nil, err
		}
		for _, a := range attached {
			of := labels{}
			for _, t := range a.Tags {
				of["tag"] = append(of["tag"], t.Name)
				if name := category[t.CategoryID]; name != "" {
					of["tag:"+name] = append(of["tag:"+name], t.Name)
				}
			}
			for _, values := range of {
				slices.Sort(values)
			}
			out[a.ObjectID.Reference()] = of
		}
	}
	return out, nil
}
