package flowfile

import (
	"errors"
	"sync"

	"cordon/collector/ipfix"
	"cordon/schema"
)

const (
	aheadRecords = 4096 // records of one piece, about a megabyte
	aheadPieces  = 64   // read before anybody asks for them: 262,144 records
)

// ReadAhead reads from r in the background, from now on and up to a quarter of a million records ahead of Next, so
// that whoever wants the records can prepare meanwhile and work beside it. Close it in place of r. Readers
// of IPFIX messages, of which more is asked than a [Reader] tells, are given back as they are.
func ReadAhead(r Reader) Reader {
	if _, ok := r.(interface{ Stats() ipfix.Stats }); ok {
		return r
	}
	a := &ahead{Reader: r, pieces: make(chan readPiece, aheadPieces), used: make(chan []schema.Record, aheadPieces), stop: make(chan struct{}), ended: make(chan struct{})}
	_, a.size = r.Progress()
	go a.run()
	return a
}

// ahead is a reader whose records are read by a goroutine. Notes and Digest are of the reader below, which
// nobody uses any more once Next has returned io.EOF.
type ahead struct {
	Reader
	pieces chan readPiece
	used   chan []schema.Record // pieces that Next is done with, for run to fill again: new memory costs as much as reading
	stop   chan struct{}        // closed when nobody wants more
	ended  chan struct{}        // closed when the goroutine has left the reader
	close  sync.Once

	now        readPiece
	next       int
	done, size int64
}

// readPiece is some records of a file, and what came behind them.
type readPiece struct {
	records []schema.Record
	err     error
	done    int64
}

func (a *ahead) run() {
	defer close(a.ended)
	for {
		p := readPiece{records: a.piece()}
		for len(p.records) < aheadRecords && p.err == nil {
			p.records = append(p.records, schema.Record{})
			if p.err = a.Reader.Next(&p.records[len(p.records)-1]); p.err != nil {
				p.records = p.records[:len(p.records)-1]
			}
		}
		p.done, _ = a.Reader.Progress()
		select {
		case a.pieces <- p:
		case <-a.stop:
			return
		}
		if p.err != nil && !isRowError(p.err) {
			return
		}
	}
}

// piece gives memory for aheadRecords records.
func (a *ahead) piece() []schema.Record {
	select {
	case used := <-a.used:
		return used[:0]
	default:
		return make([]schema.Record, 0, aheadRecords)
	}
}

func isRowError(err error) bool {
	var bad *RowError
	return errors.As(err, &bad)
}

func (a *ahead) Next(rec *schema.Record) error {
	for a.next == len(a.now.records) {
		if err := a.now.err; err != nil {
			if isRowError(err) {
				a.now.err = nil
			}
			return err
		}
		if a.now.records != nil {
			select {
			case a.used <- a.now.records:
			default:
			}
		}
		a.now, a.next = <-a.pieces, 0
		a.done = a.now.done
	}
	*rec = a.now.records[a.next]
	a.next++
	return nil
}

// Progress runs ahead of Next by what one piece holds at most.
func (a *ahead) Progress() (done, size int64) { return a.done, a.size }

// Close does not wait for a read that waits for someone to write: then the file is closed behind it, and what that says is lost.
func (a *ahead) Close() (err error) {
	a.close.Do(func() {
		close(a.stop)
		select {
		case <-a.ended:
			err = a.Reader.Close()
		default:
			go func() {
				<-a.ended
				a.Reader.Close()
			}()
		}
	})
	return err
}
