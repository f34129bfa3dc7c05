package bus

import (
	"regexp"
	"strconv"
	"strings"
)

// withURLs finds where the addresses of a comma-separated list begin: a password
// may have a comma of its own.
var withURLs = regexp.MustCompile(`,\s*[a-z]+://`)

// Redact hides the passwords and tokens in addresses of servers, one or several
// separated by commas, also where the text is no valid URL.
func Redact(urls string) string {
	var out strings.Builder
	for rest := urls; rest != ""; {
		end := len(rest)
		if at := withURLs.FindStringIndex(rest); at != nil {
			end = at[0] + 1
		}
		out.WriteString(redactOne(rest[:end]))
		rest = rest[end:]
	}
	return out.String()
}

func redactOne(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if ok {
		scheme += "://"
	} else {
		scheme, rest = "", address
	}
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return address
	}
	user, _, secret := strings.Cut(rest[:at], ":")
	switch {
	case secret:
		user += ":xxxxx"
	case !strings.HasPrefix(scheme, "http"):
		user = "xxxxx" // NATS takes a lone name for a token.
	}
	return scheme + user + rest[at:]
}

// hidden is an error whose text does not show the secrets of an address.
type hidden struct {
	err  error
	text string
}

func (h *hidden) Error() string { return h.text }
func (h *hidden) Unwrap() error { return h.err }

// hide keeps the secrets of an address out of the text of an error, since errors
// of parsing and connecting quote the address.
func hide(err error, urls string) error {
	text := err.Error()
	for _, one := range append([]string{urls}, strings.Split(urls, ",")...) {
		one = strings.TrimSpace(one)
		if clean := Redact(one); clean != one {
			quoted := strconv.Quote(one)
			text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], clean) // This is the form that url.Parse gives.
			text = strings.ReplaceAll(text, one, clean)
		}
	}
	// An address may also be quoted in part, or escaped.
	for _, one := range strings.Split(urls, ",") {
		_, rest, _ := strings.Cut(one, "://")
		if at := strings.LastIndexByte(rest, '@'); at > 0 {
			if _, password, ok := strings.Cut(rest[:at], ":"); ok && len(password) > 3 {
				text = strings.ReplaceAll(text, password, "xxxxx")
			}
		}
	}
	if text == err.Error() {
		return err
	}
	return &hidden{err, text}
}
