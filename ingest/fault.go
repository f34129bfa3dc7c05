package ingest

import (
	"errors"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// fault says whose fault a failed insert is.
type fault int

const (
	// serverFault: ClickHouse is away, overloaded, read-only, not migrated.
	// The batch is tried again for ever.
	serverFault fault = iota
	// unclear: ClickHouse refused the batch for a reason that may lie in
	// either. It is the batch's if others get in meanwhile.
	unclear
	// batchFault: ClickHouse cannot read the batch, which was checked before. A
	// connection cut short may look like that, so it is tried again some times.
	batchFault
)

// String is the label of a fault in metrics.
func (f fault) String() string { return [...]string{"server", "unclear", "batch"}[f] }

// Codes of ClickHouse's exceptions (src/Common/ErrorCodes.cpp).
var faults = map[int32]fault{
	// The server cannot take anything now.
	159: serverFault, // TIMEOUT_EXCEEDED
	160: serverFault, // TOO_SLOW
	164: serverFault, // READONLY
	202: serverFault, // TOO_MANY_SIMULTANEOUS_QUERIES
	209: serverFault, // SOCKET_TIMEOUT
	210: serverFault, // NETWORK_ERROR
	225: serverFault, // NO_ZOOKEEPER
	236: serverFault, // ABORTED
	241: serverFault, // MEMORY_LIMIT_EXCEEDED
	242: serverFault, // TABLE_IS_READ_ONLY
	243: serverFault, // NOT_ENOUGH_SPACE
	252: serverFault, // TOO_MANY_PARTS
	279: serverFault, // ALL_CONNECTION_TRIES_FAILED
	285: serverFault, // TOO_FEW_LIVE_REPLICAS
	286: serverFault, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
	289: serverFault, // REPLICA_IS_NOT_IN_QUORUM
	319: serverFault, // UNKNOWN_STATUS_OF_INSERT
	394: serverFault, // QUERY_WAS_CANCELLED
	425: serverFault, // SYSTEM_ERROR
	439: serverFault, // CANNOT_SCHEDULE_TASK
	473: serverFault, // DEADLOCK_AVOIDED
	497: serverFault, // ACCESS_DENIED
	516: serverFault, // AUTHENTICATION_FAILED
	60:  serverFault, // UNKNOWN_TABLE: not migrated yet
	81:  serverFault, // UNKNOWN_DATABASE: not migrated yet
	16:  serverFault, // NO_SUCH_COLUMN_IN_TABLE: the block was checked, so the table is older
	74:  serverFault, // CANNOT_READ_FROM_FILE_DESCRIPTOR
	75:  serverFault, // CANNOT_WRITE_TO_FILE_DESCRIPTOR
	76:  serverFault, // CANNOT_OPEN_FILE
	999: serverFault, // KEEPER_EXCEPTION

	// The server cannot read the batch.
	6:   batchFault, // CANNOT_PARSE_TEXT
	9:   batchFault, // SIZES_OF_COLUMNS_DOESNT_MATCH
	27:  batchFault, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	33:  batchFault, // CANNOT_READ_ALL_DATA
	40:  batchFault, // CHECKSUM_DOESNT_MATCH
	53:  batchFault, // TYPE_MISMATCH
	70:  batchFault, // CANNOT_CONVERT_TYPE
	117: batchFault, // INCORRECT_DATA
	128: batchFault, // TOO_LARGE_ARRAY_SIZE
	131: batchFault, // TOO_LARGE_STRING_SIZE
	271: batchFault, // CANNOT_DECOMPRESS
	691: batchFault, // UNKNOWN_ELEMENT_OF_ENUM
}

// blame says whose fault the error of an insert is. What is not an exception
// of ClickHouse never reached it, or its answer never came back.
func blame(err error) fault {
	var e *clickhouse.Exception
	if !errors.As(err, &e) {
		return serverFault
	}
	if f, ok := faults[e.Code]; ok {
		return f
	}
	return unclear
}
