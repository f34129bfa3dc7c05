package watch

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Config is the section `watch` of the configuration.
type Config struct {
	// Enabled lets `cordon up` watch the proposals in force.
	Enabled bool `mapstructure:"enabled"`
	// Interval is the pause between two looks at the sessions. It is longer where a look takes more than a tenth of it.
	Interval time.Duration `mapstructure:"interval"`
	// UnusedAfter is how long a rule may be without traffic before that is said; zero never says it.
	UnusedAfter time.Duration `mapstructure:"unused_after"`
	// AmendEvery is the pause between two amended proposals; zero makes none.
	AmendEvery time.Duration `mapstructure:"amend_every"`
	// Attempts says half-open and denied sessions too.
	Attempts bool `mapstructure:"attempts"`
	// SessionsPerCell and SessionsPerClient are how many sessions, and how many attempts, of one (source group, destination group,
	// service), and of one client, are said one by one.
	SessionsPerCell   int     `mapstructure:"sessions_per_cell"`
	SessionsPerClient int     `mapstructure:"sessions_per_client"`
	Webhook           Webhook `mapstructure:"webhook"`
}

// Webhook says where events are posted to.
type Webhook struct {
	URL           string        `mapstructure:"url"`           // empty for none
	Authorization string        `mapstructure:"authorization"` // value of the Authorization header; empty for none
	Timeout       time.Duration `mapstructure:"timeout"`       // the limit of one request
	RetryMax      time.Duration `mapstructure:"retry_max"`     // longest pause between tries
}

const day = 24 * time.Hour

// DefaultConfig says sessions within a minute.
func DefaultConfig() Config {
	return Config{
		Enabled: true, Interval: time.Minute, UnusedAfter: 30 * day, AmendEvery: day, Attempts: true, SessionsPerCell: 100, SessionsPerClient: 1000,
		Webhook: Webhook{Timeout: 10 * time.Second, RetryMax: time.Minute},
	}
}

// Validate says everything that is wrong with the configuration.
func (c *Config) Validate() error {
	var errs []error
	for _, l := range []struct {
		key   string
		value time.Duration
		least time.Duration
		zero  bool // is allowed
	}{
		{"watch.interval", c.Interval, 100 * time.Millisecond, false}, {"watch.unused_after", c.UnusedAfter, time.Hour, true}, {"watch.amend_every", c.AmendEvery, time.Second, true},
		{"watch.webhook.timeout", c.Webhook.Timeout, 100 * time.Millisecond, false}, {"watch.webhook.retry_max", c.Webhook.RetryMax, 100 * time.Millisecond, false},
	} {
		if l.value >= l.least || l.zero && l.value == 0 {
			continue
		}
		use := fmt.Sprintf("give at least %v", l.least)
		if l.zero {
			use += ", or 0 for never"
		}
		errs = append(errs, fmt.Errorf("%s is %v: %s", l.key, l.value, use))
	}
	if c.SessionsPerCell < 1 {
		errs = append(errs, fmt.Errorf("watch.sessions_per_cell is %d: give at least 1", c.SessionsPerCell))
	}
	if c.SessionsPerClient < 1 {
		errs = append(errs, fmt.Errorf("watch.sessions_per_client is %d: give at least 1", c.SessionsPerClient))
	}
	if c.Webhook.URL != "" {
		u, err := url.Parse(c.Webhook.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, errors.New("watch.webhook.url is not a URL such as https://host/path"))
		}
	}
	return errors.Join(errs...)
}
