package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"cordon/internal/datafolder"
	"cordon/internal/natsserver"
	"cordon/internal/status"

	"github.com/prometheus/client_golang/prometheus"
)

// startSpace is what the embedded servers need of the disk to start. An empty
// store takes about 1 MiB; the rest is for ClickHouse, which writes the new part
// before it deletes those that it merged, and is what NATS waits for after a full disk.
const startSpace = 64 << 20

// checkSpace says why the embedded servers cannot start on a folder: its disk is
// full. The folder, or one above it, exists.
func checkSpace(dir, setting string) error {
	free, err := datafolder.Free(existing(dir))
	if err != nil || free >= startSpace {
		return nil
	}
	return fmt.Errorf("the disk of %s has %d MiB free, and the embedded servers need %d MiB to start: make space there, or name a folder on another disk with %s",
		dir, free>>20, startSpace>>20, setting)
}

// disks looks at the disks of the folders that this process writes to.
func (n *node) disks() (list []status.Disk) {
	dir := n.app.settings.DataDir
	add := func(uses bool, holds, folder string) {
		if !uses {
			return
		}
		free, err := datafolder.Free(existing(folder))
		if err != nil {
			return
		}
		list = append(list, status.Disk{Folder: folder, Holds: holds, Free: free, Full: free < natsserver.DiskFull})
	}
	add(n.nats != nil, "NATS", natsDir(dir))
	add(n.clickhouse != nil, "ClickHouse", clickhouseDir(dir))
	add(n.collector != nil, "spool", filepath.Join(dir, "collector"))
	return list
}

// diskReady says which folders cannot be written for want of space.
func (n *node) diskReady() error { return fullDisks(n.disks()) }

// canWrite says why what holds one of the folders, "NATS" or "ClickHouse", cannot write: its disk is full. Where the
// folder is not this process's own there is nothing to say.
func (n *node) canWrite(holds string) error {
	return fullDisks(slices.DeleteFunc(n.disks(), func(d status.Disk) bool { return d.Holds != holds }))
}

// fullDisks names those of the folders whose disk is full.
func fullDisks(list []status.Disk) error {
	var full []string
	for _, d := range list {
		if d.Full {
			full = append(full, fmt.Sprintf("%s (%s, %d MiB free)", d.Folder, d.Holds, d.Free>>20))
		}
	}
	if len(full) == 0 {
		return nil
	}
	return fmt.Errorf("the disk is full under %s; everything goes on by itself once there is space", strings.Join(full, ", "))
}

// diskMetrics are the gauges of the disks.
type diskMetrics struct {
	n          *node
	free, full *prometheus.Desc
}

func newDiskMetrics(n *node) *diskMetrics {
	labels := []string{"holds", "folder"}
	return &diskMetrics{n,
		prometheus.NewDesc("cordon_disk_free_bytes", "Bytes that may still be written to the disk of a folder of Cordon's.", labels, nil),
		prometheus.NewDesc("cordon_disk_full", "1 while the disk of a folder is full, so that what the folder holds is not written.", labels, nil),
	}
}

// Describe implements [prometheus.Collector].
func (m *diskMetrics) Describe(c chan<- *prometheus.Desc) { c <- m.free; c <- m.full }

// Collect implements [prometheus.Collector].
func (m *diskMetrics) Collect(c chan<- prometheus.Metric) {
	for _, d := range m.n.disks() {
		full := 0.0
		if d.Full {
			full = 1
		}
		c <- prometheus.MustNewConstMetric(m.free, prometheus.GaugeValue, float64(d.Free), strings.ToLower(d.Holds), d.Folder)
		c <- prometheus.MustNewConstMetric(m.full, prometheus.GaugeValue, full, strings.ToLower(d.Holds), d.Folder)
	}
}
