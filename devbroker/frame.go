package devbroker

import (
	"encoding/binary"
	"fmt"
	"net"
)

// maxRequest is the size of the largest request that is taken: Kafka's default of socket.request.max.bytes.
const maxRequest = 100 << 20

// framed is a client's connection on which the size of each request is looked at. The cluster makes room for a request of
// any size before the request is there. What is no client of Kafka's, one that speaks TLS to a port without it for one,
// begins with bytes that are the size of hundreds of megabytes.
type framed struct {
	net.Conn
	head [4]byte
	have int   // bytes of head
	left int64 // bytes of the request's body that are still to come
}

func (f *framed) Read(p []byte) (int, error) {
	most := int64(len(f.head) - f.have)
	if f.left > 0 {
		most = f.left
	}
	n, err := f.Conn.Read(p[:min(int64(len(p)), most)])
	if f.left > 0 {
		f.left -= int64(n)
		return n, err
	}
	f.have += copy(f.head[f.have:], p[:n])
	if f.have < len(f.head) {
		return n, err
	}
	f.have, f.left = 0, int64(binary.BigEndian.Uint32(f.head[:]))
	if f.left > maxRequest {
		_ = f.Close()
		return 0, fmt.Errorf("devbroker: a request of %d bytes, more than %d", f.left, maxRequest)
	}
	return n, err
}
