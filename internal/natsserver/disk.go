package natsserver

import (
	"cordon/internal/datafolder"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// JetStream ends when a write finds no space, and does not begin again by
// itself. The watch begins it again, in place and with its connections, once
// there is space: what was acknowledged is on the disk.
const (
	// DiskFull is how many free bytes are too few to rely on anything being written.
	DiskFull  = 8 << 20
	diskFreed = 64 << 20 // free bytes from which JetStream begins again
	diskWatch = time.Second
)

// watchDisk runs until Close.
func (n *Server) watchDisk(interval time.Duration) {
	defer close(n.watched)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-n.closing:
			return
		case <-tick.C:
			n.lookAtDisk()
		}
	}
}

// lookAtDisk notes that the disk is full, or begins JetStream again once it is not.
func (n *Server) lookAtDisk() {
	free, err := datafolder.Free(n.dir)
	ended := !n.server.JetStreamEnabled()
	full := n.full.Load()
	switch {
	case err == nil && free < DiskFull || ended && !full:
		if !full {
			n.full.Store(true)
			n.log.Error("the disk is full, or could not be written: NATS takes no messages until there is space; collectors keep what waits", "folder", n.dir, "free_bytes", free)
		}
	case full && (err != nil || free >= diskFreed):
		// A write that failed may have left a stream unable to write although JetStream goes on.
		if !ended {
			if err := n.server.ShutdownJetStream(); err != nil {
				n.log.Warn("JetStream does not stop", "err", err)
				return
			}
		}
		if err := n.server.EnableJetStream(&server.JetStreamConfig{StoreDir: n.dir, MaxStore: n.maxStore}); err != nil {
			n.log.Warn("JetStream does not begin again yet", "folder", n.dir, "err", err)
			return
		}
		n.full.Store(false)
		n.log.Info("the disk has space again: NATS goes on", "folder", n.dir, "free_bytes", free)
	}
}

// Trouble says why the server takes no messages, naming the folder; nil means that it does.
func (n *Server) Trouble() error {
	if n.server.JetStreamEnabled() && !n.full.Load() {
		return nil
	}
	free, _ := datafolder.Free(n.dir)
	return fmt.Errorf("NATS takes no messages: the disk of %s is full (%d MiB free, %d MiB are needed); it goes on by itself once there is space", n.dir, free>>20, diskFreed>>20)
}
