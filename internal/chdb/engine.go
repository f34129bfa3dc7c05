package chdb

import (
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"
)

// Engine is a running ClickHouse engine: the anchor connection that keeps it
// alive, and the arguments with which others join it.
type Engine struct {
	lib    *Library
	args   []string
	anchor unsafe.Pointer
}

// running guards the library's one engine per process.
var running struct {
	sync.Mutex
	dir string
}

// errEngineRunning says why a second engine is refused.
var errEngineRunning = errors.New("this process already runs a ClickHouse engine")

// Config says how to run the engine.
type Config struct {
	// Dir is the folder with the engine's data; it is made if absent.
	Dir string
	// Home is the folder that the engine's configuration and log are written to.
	Home    string
	Memory  int64 // bytes for the engine as a whole, and for one query with RoleFull
	Threads int   // threads of a query
	// LogLevel is that of engine.log (error, warning, information, debug, trace);
	// empty means none.
	LogLevel string
}

// Start opens the data folder with the engine. One process runs one engine at a
// time; that one data folder belongs to one process is for the caller to see to.
func (l *Library) Start(cfg Config) (*Engine, error) {
	running.Lock()
	defer running.Unlock()
	if running.dir != "" {
		return nil, fmt.Errorf("%w, on %s; close it first", errEngineRunning, running.dir)
	}
	config := filepath.Join(cfg.Home, "config.xml")
	users := filepath.Join(cfg.Home, "users.xml")
	if err := os.WriteFile(users, []byte(usersXML(cfg)), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, []byte(configXML(cfg, users)), 0o600); err != nil {
		return nil, err
	}
	// Without this folder the library takes the data folder for an empty one and
	// does not start the tasks that drop tables: DROP TABLE … SYNC would wait for ever.
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "metadata"), 0o700); err != nil {
		return nil, err
	}
	e := &Engine{lib: l, args: []string{"clickhouse", "--path=" + cfg.Dir, "--config-file=" + config}}
	anchor, err := l.open(e.args)
	if err != nil {
		return nil, err
	}
	e.anchor = anchor
	running.dir = cfg.Dir
	return e, nil
}

// Open makes a connection with full access.
func (e *Engine) Open() (*Connection, error) {
	ptr, err := e.lib.open(e.args)
	if err != nil {
		return nil, err
	}
	return &Connection{lib: e.lib, ptr: ptr}, nil
}

// Stop ends the engine. No connection may be in use.
func (e *Engine) Stop() {
	running.Lock()
	defer running.Unlock()
	e.lib.closeConnection(e.anchor)
	e.anchor = nil
	running.dir = ""
}

// Roles that the engine's only user holds. A connection has both until it drops
// to one of them with SET ROLE: RoleFull may do everything, RoleReader may only
// read, and nothing in database default.
const (
	RoleFull   = "cordon_full"
	RoleReader = "cordon_reader"
)

// xmlText escapes a value for the configuration files.
func xmlText(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}

// configXML is the engine's server configuration: caches and pools for a
// process that shares a small machine with a collector.
func configXML(cfg Config, users string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<clickhouse>
  <users_config>%s</users_config>
  <max_server_memory_usage>%d</max_server_memory_usage>
  <mark_cache_size>%d</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <primary_index_cache_size>%d</primary_index_cache_size>
  <index_mark_cache_size>%d</index_mark_cache_size>
  <index_uncompressed_cache_size>0</index_uncompressed_cache_size>
  <background_pool_size>%d</background_pool_size>
  <background_schedule_pool_size>%d</background_schedule_pool_size>
  <max_thread_pool_size>1000</max_thread_pool_size>
`, xmlText(users), cfg.Memory, 128<<20, 128<<20, 32<<20, max(2, cfg.Threads), max(4, 2*cfg.Threads))
	if cfg.LogLevel != "" {
		fmt.Fprintf(&b, "  <logger>\n    <level>%[1]s</level>\n    <log>%[2]s</log>\n    <size>16M</size>\n    <count>2</count>\n  </logger>\n  <log-level>%[1]s</log-level>\n",
			xmlText(cfg.LogLevel), xmlText(filepath.Join(cfg.Home, "engine.log")))
	}
	b.WriteString("</clickhouse>\n")
	return b.String()
}

// usersXML defines the engine's only user. Rights come from roles alone, so
// that a connection which drops to the reader's role is left with nothing else.
// Database default is not for readers: the library makes every file on the
// machine a table in it.
func usersXML(cfg Config) string {
	return fmt.Sprintf(`<clickhouse>
  <profiles>
    <default>
      <max_threads>%[1]d</max_threads>
      <max_insert_threads>1</max_insert_threads>
      <max_memory_usage>%[2]d</max_memory_usage>
      <allow_introspection_functions>0</allow_introspection_functions>
      <implicit_select>0</implicit_select>
    </default>
  </profiles>
  <roles>
    <%[3]s><grants><query>GRANT ALL ON *.*</query></grants></%[3]s>
    <%[4]s><grants><query>GRANT SELECT, SHOW, dictGet ON *.*</query><query>REVOKE SELECT, SHOW, dictGet ON default.*</query></grants></%[4]s>
  </roles>
  <users>
    <default>
      <password></password>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants><query>GRANT %[3]s</query><query>GRANT %[4]s</query></grants>
    </default>
  </users>
  <quotas><default></default></quotas>
</clickhouse>
`, cfg.Threads, cfg.Memory, RoleFull, RoleReader)
}
