package sqltext

import "testing"

func TestQuotes(t *testing.T) {
	for _, c := range []struct{ in, name, text string }{
		{"a", "`a`", "'a'"},
		{"", "``", "''"},
		{"a`b'c", "`a\\`b'c`", `'a` + "`" + `b\'c'`},
		{`\`, "`\\\\`", `'\\'`},
		{`\'`, "`\\\\'`", `'\\\''`},
	} {
		if Name(c.in) != c.name || Text(c.in) != c.text {
			t.Errorf("%q: %s and %s, want %s and %s", c.in, Name(c.in), Text(c.in), c.name, c.text)
		}
	}
}

func TestProtocolIn(t *testing.T) {
	if got := ProtocolIn("p", func(n uint8) bool { return n == 6 || n == 255 }); got != "p IN (6, 255)" {
		t.Error(got)
	}
}

func TestNamed(t *testing.T) {
	if got, want := Named("SELECT {n}, {n} + {x:UInt8} FROM {table}", Values{"n": 7, "table": "`t`"}), "SELECT 7, 7 + {x:UInt8} FROM `t`"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, values := range []Values{{}, {"n": 1, "more": 2}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v: no panic", values)
				}
			}()
			Named("SELECT {n}", values)
		}()
	}
}
