package workload

import (
	"encoding/binary"
	"fmt"
)

// streamsCountOf decodes what Kafka Streams' Long serde writes.
func streamsCountOf(data []byte) (int64, error) {
	if len(data) != 8 {
		return 0, fmt.Errorf("workload: a count of %d bytes", len(data))
	}
	return int64(binary.BigEndian.Uint64(data)), nil
}
