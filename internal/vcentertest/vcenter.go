// Package vcentertest is a vCenter for tests: VMware's simulator in the process, with machines that have addresses and tags. No program
// has it.
package vcentertest

import (
	"context"
	"crypto/tls"
	"net/url"
	"testing"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vapi/rest"
	_ "github.com/vmware/govmomi/vapi/simulator" // the API of tags
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// User and Password are what the server takes.
const User, Password = "svc-cordon@vsphere.local", "p&ss<word>"

// VCenter is a server with a datacenter DC0, a cluster DC0_C0 of three hosts DC0_C0_H0 and so on, and machines DC0_C0_RP0_VM0 and so on.
type VCenter struct {
	URL string // The URL has no user and no password.
	CA  string // path of the server's certificate

	t      testing.TB
	ctx    context.Context
	find   *find.Finder
	tags   *tags.Manager
	tagIDs map[string]string // Keyed by category and tag.
}

// Start starts a server with so many machines. It ends with the test.
func Start(t testing.TB, machines int) *VCenter {
	t.Helper()
	model := simulator.VPX()
	model.Machine, model.Host = machines, 0
	v := &VCenter{t: t, ctx: t.Context(), tagIDs: map[string]string{}}
	v.must(model.Create())
	t.Cleanup(model.Remove)
	user := url.UserPassword(User, Password)
	model.Service.Listen = &url.URL{User: user}
	model.Service.TLS = new(tls.Config)
	model.Service.RegisterEndpoints = true
	server := model.Service.NewServer()
	t.Cleanup(server.Close)
	at := *server.URL
	at.User = nil
	v.URL = at.String()
	var err error
	v.CA, err = server.CertificateFile()
	v.must(err)

	client, err := vim25.NewClient(v.ctx, soap.NewClient(server.URL, true))
	v.must(err)
	v.must(session.NewManager(client).Login(v.ctx, user))
	v.find = find.NewFinder(client)
	api := rest.NewClient(client)
	v.must(api.Login(v.ctx, user))
	v.tags = tags.NewManager(api)
	return v
}

func (v *VCenter) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *VCenter) machine(name string) *object.VirtualMachine {
	v.t.Helper()
	vm, err := v.find.VirtualMachine(v.ctx, "/DC0/vm/"+name)
	v.must(err)
	return vm
}

func (v *VCenter) done(task *object.Task, err error) {
	v.t.Helper()
	v.must(err)
	v.must(task.Wait(v.ctx))
}

// Address gives a machine an address, as its tools would tell.
func (v *VCenter) Address(machine, address string) {
	v.t.Helper()
	v.done(v.machine(machine).Reconfigure(v.ctx, types.VirtualMachineConfigSpec{
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "SET.guest.ipAddress", Value: address}},
	}))
}

// Rename gives a machine another name.
func (v *VCenter) Rename(machine, name string) {
	v.t.Helper()
	v.done(v.machine(machine).Rename(v.ctx, name))
}

// Tag attaches a tag of a category, which are made where they are not there.
func (v *VCenter) Tag(machine, category, tag string) {
	v.t.Helper()
	key := category + "\x00" + tag
	if v.tagIDs[key] == "" {
		of := v.tagIDs[category]
		if of == "" {
			var err error
			of, err = v.tags.CreateCategory(v.ctx, &tags.Category{Name: category, Cardinality: "MULTIPLE", AssociableTypes: []string{"VirtualMachine"}})
			v.must(err)
			v.tagIDs[category] = of
		}
		id, err := v.tags.CreateTag(v.ctx, &tags.Tag{CategoryID: of, Name: tag})
		v.must(err)
		v.tagIDs[key] = id
	}
	v.must(v.tags.AttachTag(v.ctx, v.tagIDs[key], v.machine(machine).Reference()))
}

// Move moves a running machine to another host.
func (v *VCenter) Move(machine, host string) {
	v.t.Helper()
	to, err := v.find.HostSystem(v.ctx, "/DC0/host/DC0_C0/"+host)
	v.must(err)
	ref := to.Reference()
	v.done(v.machine(machine).Relocate(v.ctx, types.VirtualMachineRelocateSpec{Host: &ref}, types.VirtualMachineMovePriorityDefaultPriority))
}

// Stop switches a machine off.
func (v *VCenter) Stop(machine string) {
	v.t.Helper()
	v.done(v.machine(machine).PowerOff(v.ctx))
}

// Folder moves a machine into a folder of machines, which is made.
func (v *VCenter) Folder(machine, name string) {
	v.t.Helper()
	above, err := v.find.Folder(v.ctx, "/DC0/vm")
	v.must(err)
	folder, err := above.CreateFolder(v.ctx, name)
	v.must(err)
	task, err := folder.MoveInto(v.ctx, []types.ManagedObjectReference{v.machine(machine).Reference()})
	v.done(task, err)
}
