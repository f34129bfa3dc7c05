package flowfile

import (
	"bufio"
	"bytes"
	"io"

	"cordon/schema"
)

// aheadBytes is how far is looked ahead in a file of messages for the sampling
// rates that exporters announce after their first records.
const aheadBytes = 16 << 20

// lookAhead gives a reader of all of r, and one of its beginning.
func lookAhead(r io.Reader) (*bufio.Reader, io.Reader) {
	b := bufio.NewReaderSize(r, aheadBytes)
	head, _ := b.Peek(aheadBytes) // an error comes again where it belongs
	return b, bytes.NewReader(head)
}

// scouted is a source for looking ahead in the file of s.
func scouted(s *source) *source {
	return &source{name: s.name, now: s.now, untimed: s.untimed, count: new(counter)}
}

// scout reads all that there is, for what its decoder learns by that. How it ends
// does not matter: the beginning of a file may end amid a message.
func scout[R Reader](r R) R {
	var rec schema.Record
	for r.Next(&rec) == nil {
	}
	return r
}
