package ipfix

import (
	"encoding/binary"
	"testing"

	calmh "github.com/calmh/ipfix"

	"cordon/internal/iana"
	"cordon/schema"
)

// benchFields make a record of 69 bytes, much like that of a switch.
var benchFields = []field{
	{elementID{0, 8}, 4}, {elementID{0, 12}, 4}, {elementID{0, 7}, 2}, {elementID{0, 11}, 2},
	{elementID{0, 4}, 1}, {elementID{0, 6}, 1}, {elementID{0, 1}, 8}, {elementID{0, 2}, 8},
	{elementID{0, 152}, 8}, {elementID{0, 153}, 8}, {elementID{0, 10}, 4}, {elementID{0, 14}, 4},
	{elementID{0, 5}, 1}, {elementID{0, 60}, 1}, {elementID{0, 61}, 1}, {elementID{0, 136}, 1},
	{elementID{0, 58}, 2}, {elementID{0, 234}, 4}, {elementID{0, 15}, 4}, {elementID{0, 192}, 1},
}

const benchRecords = 20

// benchMessages gives a template message and one of 20 records of 69 bytes.
func benchMessages() (template, data []byte) {
	w := newWriter(1, 1_700_000_000)
	template = w.message(w.template(256, benchFields))
	var body []byte
	for i := range benchRecords {
		for _, f := range benchFields {
			v := make([]byte, f.length)
			switch f.id {
			case 152, 153:
				binary.BigEndian.PutUint64(v, 1_700_000_000_000)
			case 4:
				v[0] = iana.TCP
			default:
				v[len(v)-1] = byte(i + 1)
			}
			body = append(body, v...)
		}
	}
	return template, w.message(set(256, body))
}

func report(b *testing.B, size int) {
	b.ReportMetric(float64(b.N)*benchRecords/b.Elapsed().Seconds()/1e6, "Mrecords/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRecords, "ns/record")
	b.SetBytes(int64(size))
	b.ReportAllocs()
}

// renumber sets the sequence number of the i-th data message.
func renumber(msg []byte, i int) { binary.BigEndian.PutUint32(msg[8:], uint32(i*benchRecords)) }

// BenchmarkDecode is the collector's way from datagram to batch.
func BenchmarkDecode(b *testing.B) {
	template, msg := benchMessages()
	d := New(Config{})
	var batch schema.Batch
	batch.Grow(schema.MaxRows)
	d.Message(testSource, template, received, &batch)
	i := 0
	for b.Loop() {
		renumber(msg, i)
		i++
		if err := d.Message(testSource, msg, received, &batch); err != nil {
			b.Fatal(err)
		}
		if batch.Len()+benchRecords > schema.MaxRows {
			batch.Reset()
		}
	}
	report(b, len(msg))
}

// BenchmarkDecodeOnly leaves the batch out.
func BenchmarkDecodeOnly(b *testing.B) {
	template, msg := benchMessages()
	d := New(Config{})
	var n discard
	d.Message(testSource, template, received, &n)
	i := 0
	for b.Loop() {
		renumber(msg, i)
		i++
		d.Message(testSource, msg, received, &n)
	}
	report(b, len(msg))
	if int(n) != i*benchRecords {
		b.Fatalf("%d records", n)
	}
}

// BenchmarkWalk finds the records and looks at none.
func BenchmarkWalk(b *testing.B) {
	_, msg := benchMessages()
	p := compile(benchFields)
	for b.Loop() {
		for sets := msg[messageHeader:]; len(sets) > 0; {
			n := binary.BigEndian.Uint16(sets[2:])
			for body := sets[setHeader:n]; len(body) >= p.min; {
				for _, f := range benchFields {
					body = body[f.length:]
				}
			}
			sets = sets[n:]
		}
	}
	report(b, len(msg))
}

// BenchmarkCalmhParse is github.com/calmh/ipfix up to raw fields.
func BenchmarkCalmhParse(b *testing.B) {
	template, msg := benchMessages()
	s := calmh.NewSession()
	s.ParseBuffer(template)
	for b.Loop() {
		s.ParseBuffer(msg)
	}
	report(b, len(msg))
}

// BenchmarkCalmhInterpret goes on to typed values.
func BenchmarkCalmhInterpret(b *testing.B) {
	template, msg := benchMessages()
	s := calmh.NewSession()
	in := calmh.NewInterpreter(s)
	s.ParseBuffer(template)
	var fields []calmh.InterpretedField
	for b.Loop() {
		m, _ := s.ParseBuffer(msg)
		for _, r := range m.DataRecords {
			fields = in.InterpretInto(r, fields)
		}
	}
	report(b, len(msg))
}
