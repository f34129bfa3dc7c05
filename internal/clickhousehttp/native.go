package clickhousehttp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Revisions of ClickHouse's protocol at which the Native format changes.
const (
	revisionBlockInfo           = 1     // a block starts with its info
	revisionCustomSerialization = 54454 // each column has a byte for its serialization
)

// maxNativeName bounds the names and types of columns, maxNativeDepth the
// nesting of types; both are far beyond what the engine makes.
const (
	maxNativeName  = 1 << 20
	maxNativeDepth = 100
)

// nativeRevision rewrites a stream in Native format from revision 0, which the
// library writes, to the revision that a client asked for. The data of columns
// is the same in both and is copied as it is; but it has no length, so its end
// has to be found from the column's type.
//
// ch-go's reader of blocks does not take its place: it decodes the columns of a
// whole block into memory, and it infers no column for 13 of the 50 types of
// TestNativeTypes (SimpleAggregateFunction, Tuple, Map, FixedString, nested arrays
// and others, as of v0.74), of which the tables of sessions have several.
func nativeRevision(dst *bufio.Writer, src *bufio.Reader, revision int) error {
	c := nativeCopier{dst: dst, src: src}
	for {
		if _, err := src.Peek(1); err == io.EOF {
			return dst.Flush()
		} else if err != nil {
			return err
		}
		if err := c.block(revision); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

type nativeCopier struct {
	dst *bufio.Writer
	src *bufio.Reader
	buf [binary.MaxVarintLen64]byte
}

func (c *nativeCopier) block(revision int) error {
	if revision >= revisionBlockInfo {
		// Field 1, is_overflows: no. Field 2, bucket_num: -1, none. End.
		c.dst.WriteString("\x01\x00\x02\xff\xff\xff\xff\x00") // the error comes with the flush
	}
	columns, err := c.uvarint()
	if err != nil {
		return err
	}
	rows, err := c.uvarint()
	if err != nil {
		return err
	}
	for range columns {
		if _, err := c.name(); err != nil {
			return err
		}
		typ, err := c.name()
		if err != nil {
			return err
		}
		t, err := parseNativeType(typ)
		if err != nil {
			return err
		}
		if revision >= revisionCustomSerialization {
			c.dst.WriteByte(0) // the usual one
		}
		if rows == 0 {
			continue
		}
		if err := t.prefix(c); err != nil {
			return err
		}
		if err := t.data(c, rows); err != nil {
			return fmt.Errorf("column type %s: %w", typ, err)
		}
	}
	return nil
}

// uvarint copies an unsigned LEB128 number and returns it.
func (c *nativeCopier) uvarint() (uint64, error) {
	v, err := binary.ReadUvarint(c.src)
	if err != nil {
		return 0, err
	}
	_, err = c.dst.Write(binary.AppendUvarint(c.buf[:0], v))
	return v, err
}

// name copies a short string and returns it.
func (c *nativeCopier) name() (string, error) {
	n, err := c.uvarint()
	if err != nil {
		return "", err
	}
	if n > maxNativeName {
		return "", fmt.Errorf("name of %d bytes in a Native block", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.src, b); err != nil {
		return "", err
	}
	_, err = c.dst.Write(b)
	return string(b), err
}

// bytes copies count items of size bytes.
func (c *nativeCopier) bytes(count, size uint64) error {
	n := count * size
	if size != 0 && n/size != count || n > 1<<62 {
		return errors.New("length overflows")
	}
	_, err := io.CopyN(c.dst, c.src, int64(n))
	return err
}

// uint64 copies a fixed-size number and returns it.
func (c *nativeCopier) uint64() (uint64, error) {
	b := c.buf[:8]
	if _, err := io.ReadFull(c.src, b); err != nil {
		return 0, err
	}
	_, err := c.dst.Write(b)
	return binary.LittleEndian.Uint64(b), err
}

// nativeType copies the data of a column of one type.
type nativeType struct {
	kind  nativeKind
	size  uint64 // bytes of a value; nativeFixed has it
	inner []*nativeType
}

type nativeKind uint8

const (
	nativeFixed nativeKind = iota
	nativeString
	nativeNullable       // inner[0]
	nativeArray          // inner[0]
	nativeTuple          // inner
	nativeLowCardinality // inner[0] is the dictionary's type
)

// prefix copies the state that precedes the data of a column.
func (t *nativeType) prefix(c *nativeCopier) error {
	if t.kind == nativeLowCardinality {
		version, err := c.uint64()
		if err != nil {
			return err
		}
		if version != 1 {
			return fmt.Errorf("LowCardinality serialization version %d is not known", version)
		}
		return nil
	}
	for _, in := range t.inner {
		if err := in.prefix(c); err != nil {
			return err
		}
	}
	return nil
}

// data copies the values of rows rows.
func (t *nativeType) data(c *nativeCopier, rows uint64) error {
	switch t.kind {
	case nativeFixed:
		return c.bytes(rows, t.size)
	case nativeString:
		for range rows {
			n, err := c.uvarint()
			if err != nil {
				return err
			}
			if err := c.bytes(n, 1); err != nil {
				return err
			}
		}
		return nil
	case nativeNullable:
		if err := c.bytes(rows, 1); err != nil {
			return err
		}
		return t.inner[0].data(c, rows)
	case nativeArray:
		if rows == 0 {
			return nil
		}
		if err := c.bytes(rows-1, 8); err != nil {
			return err
		}
		values, err := c.uint64() // the offsets are running totals
		if err != nil {
			return err
		}
		return t.inner[0].data(c, values)
	case nativeTuple:
		for _, in := range t.inner {
			if err := in.data(c, rows); err != nil {
				return err
			}
		}
		return nil
	case nativeLowCardinality:
		return t.lowCardinality(c, rows)
	}
	panic("BUG: unknown kind of Native column")
}

// Flags of a LowCardinality column; the low byte is the size of an index as
// the logarithm of its bytes.
const (
	lowCardinalityGlobal     = 1 << 8
	lowCardinalityAdditional = 1 << 9
)

func (t *nativeType) lowCardinality(c *nativeCopier, rows uint64) error {
	if rows == 0 {
		return nil
	}
	flags, err := c.uint64()
	if err != nil {
		return err
	}
	index := flags & 0xff
	if index > 3 || flags&lowCardinalityGlobal != 0 || flags&lowCardinalityAdditional == 0 {
		return fmt.Errorf("LowCardinality serialization flags %#x are not known", flags)
	}
	keys, err := c.uint64()
	if err != nil {
		return err
	}
	if err := t.inner[0].data(c, keys); err != nil {
		return err
	}
	n, err := c.uint64()
	if err != nil {
		return err
	}
	if n != rows {
		return fmt.Errorf("LowCardinality column has %d indexes for %d rows", n, rows)
	}
	return c.bytes(rows, 1<<index)
}

// nativeSizes are the types whose values have one size, in bytes.
var nativeSizes = map[string]uint64{
	"Bool": 1, "Int8": 1, "UInt8": 1, "Enum8": 1, "Nothing": 1,
	"Int16": 2, "UInt16": 2, "Enum16": 2, "Date": 2, "BFloat16": 2,
	"Int32": 4, "UInt32": 4, "Float32": 4, "Date32": 4, "DateTime": 4, "IPv4": 4, "Decimal32": 4, "Time": 4,
	"Int64": 8, "UInt64": 8, "Float64": 8, "DateTime64": 8, "Decimal64": 8, "Time64": 8,
	"Int128": 16, "UInt128": 16, "UUID": 16, "IPv6": 16, "Decimal128": 16,
	"Int256": 32, "UInt256": 32, "Decimal256": 32,
}

// nativeAliases are types stored as others.
var nativeAliases = map[string]string{
	"Point":           "Tuple(Float64, Float64)",
	"Ring":            "Array(Point)",
	"LineString":      "Array(Point)",
	"Polygon":         "Array(Ring)",
	"MultiLineString": "Array(LineString)",
	"MultiPolygon":    "Array(Polygon)",
}

// parseNativeType reads a type as ClickHouse writes it.
func parseNativeType(s string) (*nativeType, error) { return parseNativeTypeDepth(s, 0) }

func parseNativeTypeDepth(s string, depth int) (*nativeType, error) {
	if depth > maxNativeDepth {
		return nil, errors.New("column type is nested too deeply")
	}
	if alias, ok := nativeAliases[s]; ok {
		s = alias
	}
	name, args, err := splitType(s)
	if err != nil {
		return nil, err
	}
	parse := func(kind nativeKind, types ...string) (*nativeType, error) {
		t := &nativeType{kind: kind}
		for _, typ := range types {
			in, err := parseNativeTypeDepth(typ, depth+1)
			if err != nil {
				return nil, err
			}
			t.inner = append(t.inner, in)
		}
		return t, nil
	}
	if size, ok := nativeSizes[name]; ok {
		return &nativeType{kind: nativeFixed, size: size}, nil
	}
	switch {
	case name == "String":
		return &nativeType{kind: nativeString}, nil
	case name == "FixedString" && len(args) == 1:
		n, err := strconv.ParseUint(args[0], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("column type %s: %w", s, err)
		}
		return &nativeType{kind: nativeFixed, size: n}, nil
	case name == "Decimal" && len(args) > 0:
		p, err := strconv.Atoi(args[0])
		if err != nil {
			return nil, fmt.Errorf("column type %s: %w", s, err)
		}
		size := uint64(32)
		switch {
		case p <= 9:
			size = 4
		case p <= 18:
			size = 8
		case p <= 38:
			size = 16
		}
		return &nativeType{kind: nativeFixed, size: size}, nil
	case strings.HasPrefix(name, "Interval") && args == nil:
		return &nativeType{kind: nativeFixed, size: 8}, nil
	case name == "Nullable" && len(args) == 1:
		return parse(nativeNullable, args[0])
	case name == "Array" && len(args) == 1:
		return parse(nativeArray, args[0])
	case name == "LowCardinality" && len(args) == 1:
		// The dictionary holds the bare type; null is one of its entries.
		if n, in, err := splitType(args[0]); err == nil && n == "Nullable" && len(in) == 1 {
			args = in
		}
		return parse(nativeLowCardinality, args[0])
	case name == "SimpleAggregateFunction" && len(args) == 2:
		return parseNativeTypeDepth(args[1], depth+1)
	case name == "Map" && len(args) == 2:
		pair, err := parse(nativeTuple, args...)
		if err != nil {
			return nil, err
		}
		return &nativeType{kind: nativeArray, inner: []*nativeType{pair}}, nil
	case name == "Tuple":
		return parse(nativeTuple, elementTypes(args)...)
	case name == "Nested" && len(args) > 0:
		row, err := parse(nativeTuple, elementTypes(args)...)
		if err != nil {
			return nil, err
		}
		return &nativeType{kind: nativeArray, inner: []*nativeType{row}}, nil
	}
	return nil, fmt.Errorf("a column of type %s cannot be sent in Native format with client_protocol_version; convert it in the query, for instance with toString, or ask for another format", s)
}

// splitType takes "Name(a, b)" apart. args is nil without parentheses.
func splitType(s string) (name string, args []string, err error) {
	open := strings.IndexByte(s, '(')
	if open < 0 {
		return s, nil, nil
	}
	if s[len(s)-1] != ')' {
		return "", nil, fmt.Errorf("column type %q lacks a closing parenthesis", s)
	}
	name, list := s[:open], s[open+1:len(s)-1]
	args = []string{}
	l := lexer{sql: list}
	depth, start := 0, 0
	for {
		t := l.next()
		if t.kind == tokenEnd || t.kind == tokenInvalid {
			break
		}
		if t.kind != tokenPunct {
			continue
		}
		switch list[t.start] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				args = append(args, strings.TrimSpace(list[start:t.start]))
				start = t.end
			}
		}
	}
	if last := strings.TrimSpace(list[start:]); last != "" {
		args = append(args, last)
	}
	return name, args, nil
}

// elementTypes drops the names from the elements of a named tuple.
func elementTypes(args []string) []string {
	types := make([]string, len(args))
	for i, a := range args {
		l := lexer{sql: a}
		first := l.next()
		second := l.next()
		types[i] = a
		// "name Type" against "Type" or "Type(…)".
		if (first.kind == tokenWord || first.kind == tokenQuoted) && second.kind == tokenWord {
			types[i] = a[second.start:]
		}
	}
	return types
}
