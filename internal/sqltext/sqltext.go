// Package sqltext writes the parts of ClickHouse statements that every package
// needs. It imports nothing of Cordon.
package sqltext

import (
	"strconv"
	"strings"
)

var (
	names = strings.NewReplacer(`\`, `\\`, "`", "\\`")
	texts = strings.NewReplacer(`\`, `\\`, `'`, `\'`)
)

// Name quotes the name of a database, a table or a column.
func Name(s string) string { return "`" + names.Replace(s) + "`" }

// Text quotes a string.
func Text(s string) string { return "'" + texts.Replace(s) + "'" }

// ProtocolIn is the condition that a column holds one of the protocols that in
// accepts.
func ProtocolIn(column string, in func(proto uint8) bool) string {
	return column + " IN " + protocols(in)
}

// ProtocolNotIn is the condition that a column holds none of them.
func ProtocolNotIn(column string, in func(proto uint8) bool) string {
	return column + " NOT IN " + protocols(in)
}

func protocols(in func(proto uint8) bool) string {
	var list []string
	for proto := range 256 {
		if in(uint8(proto)) {
			list = append(list, strconv.Itoa(proto))
		}
	}
	return "(" + strings.Join(list, ", ") + ")"
}
