package target

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
)

// The test runs itself again in network namespaces; this variable says what to do there.
const helperVariable = "CORDON_TEST_PACKETS"

var (
	packetClients = []string{"172.18.6.138", "172.18.6.9", "10.100.99.51"}
	packetServers = []string{"10.100.99.50", "10.100.99.52", "10.100.1.6"}
	packetPorts   = []int{22, 80, 4567}
)

const (
	packetGroups = "category,group,prefix\nrole,web,10.100.99.51\nrole,web,10.100.99.52\nrole,app,10.100.99.50\nrole,clients,172.18.6.0/24\nrole,names,10.100.1.6\n"
	packetRules  = `apiVersion: cordon/v1
kind: Policy
rules:
  - {name: no-ssh, action: deny, sources: ["ip:172.18.6.9"], destinations: ["group:web"], services: [tcp/22]}
  - {name: clients-to-web, sources: ["group:clients"], destinations: ["group:web"], services: [tcp/80, tcp/22]}
  - {name: web-to-app, sources: ["group:web"], destinations: ["group:app"], services: [tcp/4567]}
  - {name: all-to-names, sources: ["group:web", "group:clients"], destinations: ["group:names"], services: [tcp/22-80]}
`
)

// A host that forwards between two networks under the table permits real connections of the policy's cells, and no others.
func TestNFTPackets(t *testing.T) {
	switch what := os.Getenv(helperVariable); what {
	case "":
	case "listen":
		packetListen()
		return
	default:
		packetDial(what)
		return
	}
	program, ip := needs(t, "nft"), needs(t, "ip")
	name := func(s string) string { return fmt.Sprintf("cordon-%s-%d", s, os.Getpid()) }
	run := func(program string, args ...string) error {
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, out)
		}
		return nil
	}
	for _, n := range []string{"client", "fw", "server"} {
		if err := run(ip, "netns", "add", name(n)); err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { _ = run(ip, "netns", "del", name(n)) })
	}
	d, text := packetPolicy(t)
	file := t.TempDir() + "/table.nft"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := [][]string{
		{"-n", name("fw"), "link", "add", "c", "type", "veth", "peer", "name", "up0", "netns", name("client")},
		{"-n", name("fw"), "link", "add", "s", "type", "veth", "peer", "name", "up0", "netns", name("server")},
		{"-n", name("fw"), "addr", "add", "10.255.0.1/24", "dev", "c"},
		{"-n", name("fw"), "addr", "add", "10.255.1.1/24", "dev", "s"},
		{"-n", name("client"), "addr", "add", "10.255.0.2/24", "dev", "up0"},
		{"-n", name("server"), "addr", "add", "10.255.1.2/24", "dev", "up0"},
		{"-n", name("fw"), "link", "set", "c", "up"}, {"-n", name("fw"), "link", "set", "s", "up"},
		{"-n", name("client"), "link", "set", "up0", "up"}, {"-n", name("server"), "link", "set", "up0", "up"},
		{"-n", name("client"), "route", "add", "default", "via", "10.255.0.1"}, {"-n", name("server"), "route", "add", "default", "via", "10.255.1.1"},
	}
	for _, a := range packetClients {
		steps = append(steps, []string{"-n", name("client"), "addr", "add", a + "/32", "dev", "up0"}, []string{"-n", name("fw"), "route", "add", a, "via", "10.255.0.2"})
	}
	for _, a := range packetServers {
		steps = append(steps, []string{"-n", name("server"), "addr", "add", a + "/32", "dev", "up0"}, []string{"-n", name("fw"), "route", "add", a, "via", "10.255.1.2"})
	}
	steps = append(steps, []string{"netns", "exec", name("fw"), "sysctl", "-qw", "net.ipv4.ip_forward=1"}, []string{"netns", "exec", name("fw"), program, "-f", file})
	for _, s := range steps {
		if err := run(ip, s...); err != nil {
			t.Fatal(err)
		}
	}
	server := exec.Command(ip, "netns", "exec", name("server"), os.Args[0], "-test.run=^TestNFTPackets$")
	server.Env = append(os.Environ(), helperVariable+"=listen")
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q %v", line, err)
	}
	packetCells(t, d, func(cells string) ([]byte, error) {
		client := exec.Command(ip, "netns", "exec", name("client"), os.Args[0], "-test.run=^TestNFTPackets$")
		client.Env = append(os.Environ(), helperVariable+"="+cells)
		return client.Output()
	})
}

func packetPolicy(t *testing.T) (Document, string) {
	groups, err := categories.Parse("groups.csv", []byte(packetGroups))
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := policy.NewAddresses(groups, nil)
	if err != nil {
		t.Fatal(err)
	}
	policies, err := policy.ParsePolicies("policy.yaml", []byte(packetRules))
	if err != nil {
		t.Fatal(err)
	}
	d := Document{Policy: policies[0], Set: addresses.Set}
	return d, written(t, "nftables", d)
}

// packetCells tries every cell.
func packetCells(t *testing.T, d Document, dial func(string) ([]byte, error)) {
	var cells []string
	want := map[string]bool{}
	for _, c := range packetClients {
		for _, s := range packetServers {
			for _, p := range packetPorts {
				cell := fmt.Sprintf("%s>%s:%d", c, s, p)
				service, _ := categories.ParseService(fmt.Sprintf("tcp/%d", p))
				r := decides(t, &d, addr(c), addr(s), service)
				cells = append(cells, cell)
				want[cell] = r != nil && r.Action == policy.Allow
			}
		}
	}
	out, err := dial(strings.Join(cells, ","))
	if err != nil {
		t.Fatal(err)
	}
	connected := map[string]bool{}
	for _, w := range strings.Fields(string(out)) {
		connected[w] = true
	}
	permitted := 0
	for _, cell := range cells {
		if connected[cell] != want[cell] {
			t.Errorf("%s: connected %v, the policy says %v", cell, connected[cell], want[cell])
		}
		if want[cell] {
			permitted++
		}
	}
	if permitted < 8 || len(cells)-permitted < 10 {
		t.Errorf("%d cells of %d are permitted", permitted, len(cells))
	}
}

func packetListen() {
	for _, a := range packetServers {
		for _, p := range packetPorts {
			l, err := net.Listen("tcp", netip.AddrPortFrom(addr(a), uint16(p)).String())
			if err != nil {
				fmt.Println(err)
				return
			}
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = c.Write([]byte("hello"))
					c.Close()
				}
			}()
		}
	}
	fmt.Println("ready")
	time.Sleep(time.Minute) // whoever started this ends it
}

func packetDial(cells string) {
	var wait sync.WaitGroup
	for _, cell := range strings.Split(cells, ",") {
		wait.Add(1)
		go func() {
			defer wait.Done()
			from, to, _ := strings.Cut(cell, ">")
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr(from), 0)), Timeout: 1500 * time.Millisecond}
			c, err := d.Dial("tcp", to)
			if err != nil {
				return
			}
			defer c.Close()
			if _, err := c.Read(make([]byte, 5)); err == nil {
				fmt.Println(cell)
			}
		}()
	}
	wait.Wait()
}
