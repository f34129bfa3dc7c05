// Package watch says what departs from policies in force, as it comes: sessions that they do not permit, and rules without traffic.
// It proposes an amended policy at an interval.
//
// Each thing is an event with an id that follows from what it says. The JetStream stream DRIFT is both the way out and the memory: an
// event that stands there was said. Who publishes names the last message of the stream that it knows, and the server refuses
// the message if there is a later one, so that several watchers, or one that was killed at any moment, publish no event twice.
// The webhook is a durable consumer of the same stream, one event at a time: it keeps the order, and whatever was not acknowledged comes again.
package watch
