// Package render writes proposals: for a terminal, as YAML and as JSON.
//
// A format is one entry of a table, see [Names]. Formats for devices join it
// there; they get the groups file in [Options], since a proposal names groups and a
// device needs their prefixes.
package render
