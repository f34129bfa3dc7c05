package chdb

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Codes of exceptions that the library is told apart by, from the list in
// system.errors.
const (
	CodeBadArguments = 36
	CodeUnknown      = 1002
)

// Exception is an error of the engine, or of what answers in its place.
type Exception struct {
	Code    int    // a code of system.errors
	Name    string // such as UNKNOWN_TABLE
	Message string
}

func (e *Exception) Error() string {
	s := fmt.Sprintf("Code: %d. DB::Exception: %s", e.Code, e.Message)
	if e.Name != "" {
		s += " (" + e.Name + ")"
	}
	return s
}

var (
	exceptionText = regexp.MustCompile(`(?s)^Code: (\d+)\. DB::\w*Exception: (.*?)(?: \(([A-Z][A-Z0-9_]+)\))?\s*$`)
	versionSuffix = regexp.MustCompile(`\.? \(version [^()]*\)\.?$`)
)

// parseException reads the text of an exception as the library gives it.
func parseException(text string) *Exception {
	m := exceptionText.FindStringSubmatch(text)
	if m == nil {
		return &Exception{Code: CodeUnknown, Name: "UNKNOWN_EXCEPTION", Message: strings.TrimSpace(text)}
	}
	code, _ := strconv.Atoi(m[1])
	// What went through the engine's own client comes wrapped in itself.
	if strings.HasPrefix(m[2], "Code: "+m[1]+". ") {
		return parseException(versionSuffix.ReplaceAllString(m[2], ""))
	}
	return &Exception{Code: code, Name: m[3], Message: m[2]}
}
