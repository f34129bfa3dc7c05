package collector

import (
	"path/filepath"
	"time"
)

// saveInterval is how often templates are saved where only their age has
// changed. New ones are saved with the statistics.
const saveInterval = time.Minute

// templatesFile is where templates are kept across restarts; empty for
// nowhere.
func (c *Collector) templatesFile() string {
	if c.deps.Dir == "" {
		return ""
	}
	return filepath.Join(c.deps.Dir, "templates")
}

// loadTemplates gives the decoder the templates of the run before: exporters
// repeat them as seldom as once an hour.
func (c *Collector) loadTemplates() {
	file := c.templatesFile()
	if file == "" {
		return
	}
	if err := c.intake.decoder.LoadFile(file); err != nil {
		c.log.Error("the templates of the run before cannot be used; data waits until exporters repeat them", "file", file, "err", err)
	}
}

func (c *Collector) saveTemplates(now time.Time) {
	file := c.templatesFile()
	if file == "" {
		return
	}
	c.templatesSaved, c.templatesChanges = now, c.intake.decoder.Changes()
	if err := c.intake.decoder.SaveFile(file); err != nil {
		c.log.Error("templates cannot be saved; after a restart exporters will have to repeat them", "file", file, "err", err)
	}
}

// keepTemplates saves templates if it is due.
func (c *Collector) keepTemplates(now time.Time) {
	if c.intake.decoder.Changes() != c.templatesChanges || now.Sub(c.templatesSaved) >= saveInterval {
		c.saveTemplates(now)
	}
}
