// Package e2e holds the tests that drive the real cordon binary: real
// exporters in front of it, real NATS and the real ClickHouse engine in it,
// and processes that are killed at any moment.
package e2e
