// Package natsserver runs NATS with JetStream inside the process, as the
// nats-server library. The rest of Cordon talks to it through the ordinary client.
//
// What JetStream acknowledged survives the death of the process (kill -9), since
// it is in the kernel's page cache by then; what survives a loss of power was
// written at latest Config.SyncInterval after the message came.
package natsserver
