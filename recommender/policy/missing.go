package policy

// Loss is what an exporter of the proposal's sessions sent and Cordon does not
// have, over the hours of receipt in which records of the window come: from
// the hour of its beginning to half an hour after its end. Sessions of these
// hours may be missing.
type Loss struct {
	// Exporter is an address; "::" is what cannot be laid to one exporter,
	// KernelDrops and DroppedRecords.
	Exporter    string `json:"exporter" yaml:"exporter"`
	Hours       uint64 `json:"hours" yaml:"hours"`             // hours with loss
	Records     uint64 `json:"records" yaml:"records"`         // records that did come, in all hours
	LostRecords uint64 `json:"lostRecords" yaml:"lostRecords"` // counted by sequence numbers (RFC 7011, section 3.1)
	NoTemplate  uint64 `json:"noTemplate" yaml:"noTemplate"`   // data sets whose template never came
	Restarts    uint64 `json:"restarts" yaml:"restarts"`       // sequence numbers started anew: what came between is unknown
	LateRecords uint64 `json:"lateRecords" yaml:"lateRecords"` // records that came more than an hour after their flow's end; they are in, others may yet come

	KernelDrops    uint64 `json:"kernelDrops,omitempty" yaml:"kernelDrops,omitempty"`       // datagrams that a socket had no room for
	DroppedRecords uint64 `json:"droppedRecords,omitempty" yaml:"droppedRecords,omitempty"` // records that no queue had room for
}

// AnyExporter is the Loss.Exporter of what cannot be laid to one exporter.
const AnyExporter = "::"

// Sampling is an exporter that looks at one packet in OneIn, so that short
// sessions may have escaped it.
type Sampling struct {
	Exporter string `json:"exporter" yaml:"exporter"`
	OneIn    uint32 `json:"oneIn,omitempty" yaml:"oneIn,omitempty"` // the coarsest known in the window
	// UnknownRate says that of some records nobody knows one packet in how many
	// was looked at: several rates could be meant, or none had come yet.
	UnknownRate bool `json:"unknownRate,omitempty" yaml:"unknownRate,omitempty"`
}

// SamplingUnknown stands in the store for a rate that nobody knows, as in
// package schema.
const SamplingUnknown = 1<<32 - 1
