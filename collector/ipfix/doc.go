// Package ipfix turns IPFIX messages (RFC 7011) into flow records.
//
// A [Decoder] takes one message at a time, with the [Source] that sent it, and
// hands each flow record to a [Sink]. It walks the message itself, so that a
// bad set costs that set and a bad record costs only what cannot be delimited
// any more. Template records are parsed by github.com/calmh/ipfix, one at a
// time and only after the walk has checked them, and compiled into a plan:
// where in a record each element of interest lies and where in
// [schema.Record] it goes. Decoding runs the plan over the bytes of the
// message and allocates nothing.
//
// State is kept per source and observation domain: templates, options data
// (sampling, VRF and interface names, system start), the sequence numbers,
// and for a short while data that came before its template. All of it is
// bounded, per source and in total, because UDP sources can be forged.
//
// # What a record is made of
//
// Where a template has several elements for one column the most exact one is
// used: delta before total before layer-2 before post-treatment counters, and
// nanoseconds before micro-, milli- and seconds before deltas from the export
// time before sysUpTime. Where an element stands more than once the first one
// counts: RFC 7011, section 8, orders them as the packets were treated, so the
// first is what entered (Open vSwitch lists the ingress interface first).
//
// Octet and packet counts of both directions come from reverse elements (RFC
// 5103) or from the initiator and responder counters. With the latter the
// source is the initiator. A biflow says so only by biflowDirection (239);
// without it the direction is left unknown, because exporters exist that
// order the ends by address (softflowd -b), and a wrong client is worse than
// one that is decided later from flags and ports.
//
// Exporter is the transport address of the source. Of a mediator that is trusted
// (see [Decoder.Trust]), and where there is no such address, as in files, it is the
// one that the record names (130, 131, 403, 404), and Domain is the one of
// originalObservationDomainId (405).
//
// A record that holds the beginning of a packet (313, 314, 315, 317) is one of one
// packet, of which its own fields and then the packet's headers tell. Addresses after NAT (225-228) are not used.
package ipfix
