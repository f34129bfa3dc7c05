package chdb

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Library holds the entry points of libchdb that Cordon uses. Names and
// signatures are those of chdb.h; a connection is a pointer to the handle that
// queries take.
type Library struct {
	path    string
	signals signalHandlers

	setSignalHandlersEnabled func(enabled int32)
	connect                  func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConnection          func(conn unsafe.Pointer)

	query        queryFunc
	streamQuery  queryFunc
	streamFetch  func(conn unsafe.Pointer, stream uintptr) uintptr
	streamCancel func(conn unsafe.Pointer, stream uintptr)

	resultBuffer      func(result uintptr) unsafe.Pointer
	resultLength      func(result uintptr) uintptr
	resultRowsRead    func(result uintptr) uint64 // rows of the result
	resultRowsStored  func(result uintptr) uint64 // rows read from tables
	resultBytesStored func(result uintptr) uint64
	resultRowsWritten func(result uintptr) uint64 // rows written to tables
	resultError       func(result uintptr) *byte
	destroyResult     func(result uintptr)
}

// queryFunc starts a query. Names and values of its parameters are arrays of
// pointers and of lengths.
type queryFunc func(conn unsafe.Pointer, query *byte, queryLen uintptr, format *byte, formatLen uintptr,
	names, nameLens, values, valueLens unsafe.Pointer, params uintptr) uintptr

var loaded struct {
	sync.Mutex
	lib *Library
}

// Load opens the shared library at a path, once per process: it cannot be
// unloaded, so a second path is refused.
func Load(path string) (*Library, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.lib != nil {
		if loaded.lib.path != path {
			return nil, fmt.Errorf("ClickHouse library %s is already loaded in this process; cannot load %s too", loaded.lib.path, path)
		}
		return loaded.lib, nil
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("ClickHouse library %s cannot be opened: %w (is it complete, and for %s/%s? `make deps` fetches it)",
			path, err, runtime.GOOS, runtime.GOARCH)
	}
	lib := &Library{path: path}
	var missing []string
	for _, f := range []struct {
		name string
		fn   any
	}{
		{"chdb_set_signal_handlers_enabled", &lib.setSignalHandlersEnabled},
		{"chdb_connect", &lib.connect},
		{"chdb_close_conn", &lib.closeConnection},
		{"chdb_query_with_params_n", &lib.query},
		{"chdb_stream_query_with_params_n", &lib.streamQuery},
		{"chdb_stream_fetch_result", &lib.streamFetch},
		{"chdb_stream_cancel_query", &lib.streamCancel},
		{"chdb_result_buffer", &lib.resultBuffer},
		{"chdb_result_length", &lib.resultLength},
		{"chdb_result_rows_read", &lib.resultRowsRead},
		{"chdb_result_storage_rows_read", &lib.resultRowsStored},
		{"chdb_result_storage_bytes_read", &lib.resultBytesStored},
		{"chdb_result_rows_written", &lib.resultRowsWritten},
		{"chdb_result_error", &lib.resultError},
		{"chdb_destroy_query_result", &lib.destroyResult},
	} {
		addr, err := purego.Dlsym(handle, f.name)
		if err != nil {
			missing = append(missing, f.name)
			continue
		}
		purego.RegisterFunc(f.fn, addr)
	}
	if missing != nil {
		return nil, fmt.Errorf("ClickHouse library %s lacks %s; Cordon needs libchdb %s (`make deps` fetches it)",
			path, strings.Join(missing, ", "), Version)
	}
	lib.signals = saveSignalHandlers()
	lib.setSignalHandlersEnabled(0)
	lib.signals.restore()
	loaded.lib = lib
	return lib, nil
}

// open makes a connection to the engine with the given command line, starting
// the engine if this is the first.
func (l *Library) open(args []string) (unsafe.Pointer, error) {
	argv := make([]*byte, len(args)+1)
	for i, a := range args {
		argv[i] = &append([]byte(a), 0)[0]
	}
	conn := l.connect(int32(len(args)), unsafe.Pointer(&argv[0]))
	// chdb_connect puts the handlers of the fatal signals back to the default
	// each time; without Go's own, a nil pointer would kill the process instead
	// of panicking.
	l.signals.restore()
	runtime.KeepAlive(argv)
	if conn == nil {
		return nil, fmt.Errorf("the ClickHouse engine does not start with %s (its reason, if it gave one, is on standard error)",
			strings.Join(args[1:], " "))
	}
	return conn, nil
}

// goString copies the C string at p.
func goString(p *byte) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// bytesPointer returns the address of b's first byte, also for an empty b,
// because the library rejects null.
func bytesPointer(b []byte) *byte {
	if len(b) == 0 {
		return new(byte)
	}
	return &b[0]
}
