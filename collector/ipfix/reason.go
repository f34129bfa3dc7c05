package ipfix

import (
	"fmt"
	"net/netip"
)

// Reason says why something in a message could not be used.
type Reason uint8

// The reasons, from the message inwards.
const (
	ReasonShortMessage    Reason = iota // fewer than 16 bytes
	ReasonVersion                       // the version is not 10, and not that of NetFlow or sFlow
	ReasonMessageLength                 // the length in the header is less than 16, or less than the sets need
	ReasonTruncated                     // the message is shorter than its header says
	ReasonTrailingBytes                 // bytes after the last set that are not a set
	ReasonSetLength                     // set length less than 4, or past the end of the message
	ReasonReservedSet                   // set id 0, 1 or 4 to 255
	ReasonTemplateID                    // template id less than 256
	ReasonTemplateCut                   // the template does not fit in its set
	ReasonTemplateEmpty                 // a record of the template would have no bytes
	ReasonTemplateScope                 // options template with no scope, or with more scope than fields
	ReasonTemplateTooLong               // more fields than allowed
	ReasonTemplateLimit                 // more templates than allowed for the source, or in total
	ReasonTemplateRefused               // the template parser disagrees with the walk
	ReasonWithdrawal                    // withdrawal over UDP, or of a template that is not known
	ReasonFieldLength                   // an element of interest has a length that it cannot have; the field is left out
	ReasonRecordCut                     // a record does not fit in its set; the set is left out
	ReasonSetPadding                    // the bytes after the last record of a set are not padding; the set is left out
	ReasonNoTemplate                    // data whose template did not come in time
	ReasonDomainLimit                   // more observation domains than allowed for the source
	ReasonNotFlow                       // the record has no source and destination IP address
	ReasonImplausibleTime               // a flow that ended after it was exported; it is moved to end then
	ReasonStream                        // a stream that is not, or no longer, IPFIX
	ReasonNetFlow1                      // NetFlow of these versions in place of IPFIX
	ReasonNetFlow5
	ReasonNetFlow7
	ReasonNetFlow8
	ReasonNetFlow9
	ReasonSFlow // sFlow in place of IPFIX
	numReasons
)

var reasonNames = [numReasons]string{
	"short-message", "version", "message-length", "truncated", "trailing-bytes",
	"set-length", "reserved-set", "template-id", "template-cut", "template-empty",
	"template-scope", "template-too-long", "template-limit", "template-refused",
	"withdrawal", "field-length", "record-cut", "set-padding", "no-template",
	"domain-limit", "not-flow", "implausible-time", "stream",
	"netflow-v1", "netflow-v5", "netflow-v7", "netflow-v8", "netflow-v9", "sflow",
}

// String gives the reason as it stands in metrics: lower case with hyphens.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// MarshalText makes logs in JSON name the reason.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Reasons lists every reason, for metrics that are to exist from the start.
func Reasons() []Reason {
	all := make([]Reason, numReasons)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// Error describes the first problem in a message.
type Error struct {
	Source   Source
	Domain   uint32 // observation domain id; zero where the header could not be read
	Template uint16 // template or set id; zero where there is none
	Reason   Reason
	Detail   string // text about what was found, and where
}

func (e *Error) Error() string {
	s := "ipfix"
	if e.Source != (Source{}) { // a Framer does not know its source
		s += ": exporter " + e.Source.String()
	}
	if e.Domain != 0 {
		s += fmt.Sprintf(", observation domain %d", e.Domain)
	}
	if e.Template != 0 {
		s += fmt.Sprintf(", template %d", e.Template)
	}
	return s + ": " + e.Reason.String() + ": " + e.Detail
}

// Transport is how the messages of a source arrive.
type Transport uint8

// The transports. UDP has templates that expire and datagrams that are lost,
// doubled or out of order; all others are ordered sessions.
const (
	UDP Transport = iota
	TCP
	TLS
	File
)

func (t Transport) String() string {
	switch t {
	case UDP:
		return "udp"
	case TCP:
		return "tcp"
	case TLS:
		return "tls"
	case File:
		return "file"
	}
	return fmt.Sprintf("Transport(%d)", uint8(t))
}

// MarshalText makes logs in JSON name the transport.
func (t Transport) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Source is where messages come from: a UDP address and port, a TCP or TLS
// connection, or a file. Templates of different sources are kept apart.
type Source struct {
	Addr      netip.AddrPort // invalid where messages come from files
	Transport Transport
	Session   uint64 // tells connections from one address, or files, apart; zero for UDP
}

func (s Source) String() string {
	if !s.Addr.IsValid() {
		return fmt.Sprintf("%s #%d", s.Transport, s.Session)
	}
	return fmt.Sprintf("%s %s", s.Transport, s.Addr)
}
