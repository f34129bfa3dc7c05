package clickhousehttp

import (
	"net/http"

	"cordon/internal/chdb"
)

// Codes of ClickHouse's exceptions that the HTTP interface raises itself, from
// the list in system.errors.
const (
	codeSyntaxError          = 62
	codeTooManySimultaneous  = 202
	codeReadonly             = 164
	codeTooManyRowsOrBytes   = 396
	codeSessionNotFound      = 372
	codeSessionIsLocked      = 373
	codeQueryWasCancelled    = 394
	codeAuthenticationFailed = 516
)

// httpStatus is the status that ClickHouse answers an exception with.
func httpStatus(e *chdb.Exception) int {
	switch e.Name {
	case "REQUIRED_PASSWORD":
		return http.StatusUnauthorized
	case "AUTHENTICATION_FAILED", "ACCESS_DENIED", "UNKNOWN_USER", "WRONG_PASSWORD":
		return http.StatusForbidden
	case "UNKNOWN_TABLE", "UNKNOWN_DATABASE", "UNKNOWN_FUNCTION", "UNKNOWN_IDENTIFIER", "UNKNOWN_TYPE",
		"UNKNOWN_STORAGE", "UNKNOWN_SETTING", "UNKNOWN_FORMAT", "UNKNOWN_DIRECTION_OF_SORTING",
		"UNKNOWN_AGGREGATE_FUNCTION", "UNKNOWN_TYPE_OF_QUERY", "UNKNOWN_ROLE", "SESSION_NOT_FOUND":
		return http.StatusNotFound
	case "SYNTAX_ERROR", "CANNOT_PARSE_TEXT", "CANNOT_PARSE_INPUT_ASSERTION_FAILED", "CANNOT_PARSE_QUOTED_STRING",
		"CANNOT_PARSE_ESCAPE_SEQUENCE", "CANNOT_PARSE_DATE", "CANNOT_PARSE_DATETIME", "CANNOT_PARSE_NUMBER",
		"CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING", "CANNOT_PARSE_IPV4", "CANNOT_PARSE_IPV6", "CANNOT_PARSE_UUID",
		"CANNOT_PARSE_BOOL", "CANNOT_OPEN_FILE", "CANNOT_COMPILE_REGEXP", "DUPLICATE_COLUMN", "ILLEGAL_COLUMN",
		"THERE_IS_NO_COLUMN", "TYPE_MISMATCH", "ILLEGAL_TYPE_OF_ARGUMENT", "UNEXPECTED_DATA_AFTER_PARSED_VALUE",
		"BAD_ARGUMENTS", "BAD_QUERY_PARAMETER", "UNKNOWN_QUERY_PARAMETER", "UNKNOWN_ELEMENT_IN_AST", "CANNOT_PARSE_REQUEST",
		"NUMBER_OF_ARGUMENTS_DOESNT_MATCH", "NO_COMMON_TYPE", "AMBIGUOUS_COLUMN_NAME", "INCORRECT_DATA":
		return http.StatusBadRequest
	case "QUERY_IS_TOO_LARGE":
		return http.StatusRequestEntityTooLarge
	case "NOT_IMPLEMENTED":
		return http.StatusNotImplemented
	case "TIMEOUT_EXCEEDED":
		return http.StatusRequestTimeout
	case "TOO_MANY_SIMULTANEOUS_QUERIES":
		return http.StatusTooManyRequests
	case "READONLY", "QUERY_NOT_ALLOWED":
		return http.StatusForbidden
	}
	return http.StatusInternalServerError
}
