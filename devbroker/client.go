package devbroker

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	innerUser = "tarn-devbroker"
	innerTag  = 27_182_818 // a tagged field that marks a request as our own
	innerWait = time.Minute
)

// An inner is a connection of the broker to one of its own nodes. Its requests carry a mark, by which faults and rules
// let them pass.
type inner struct {
	conn net.Conn
	corr int32
}

func (b *Broker) inner(node int32) (*inner, error) {
	conn, err := b.gates[node].inner(b.tasks.Context())
	if err != nil {
		return nil, ErrClosed
	}
	conn.SetDeadline(time.Now().Add(innerWait))
	in := &inner{conn: conn}
	if len(b.cfg.users) > 0 {
		if err := in.login(b.secret); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return in, nil
}

func (in *inner) login(secret string) error {
	hello := kmsg.NewPtrSASLHandshakeRequest()
	hello.Version, hello.Mechanism = 1, "PLAIN"
	if _, err := in.ask(hello); err != nil {
		return err
	}
	auth := kmsg.NewPtrSASLAuthenticateRequest()
	auth.Version, auth.SASLAuthBytes = 2, []byte("\x00"+innerUser+"\x00"+secret)
	resp, err := in.ask(auth)
	if err != nil {
		return err
	}
	return codeError("login", Code(resp.(*kmsg.SASLAuthenticateResponse).ErrorCode))
}

// ask sends a request of our own at the version it is set to and reads the answer.
func (in *inner) ask(req kmsg.Request) (kmsg.Response, error) {
	if tags := tagsOf(req); tags != nil {
		tags.Set(innerTag, nil)
	}
	return in.exchange(req)
}

func (in *inner) exchange(req kmsg.Request) (kmsg.Response, error) {
	in.corr++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(innerUser)).AppendRequest(nil, req, in.corr)
	if _, err := in.conn.Write(frame); err != nil {
		return nil, fmt.Errorf("devbroker: own request: %w", err)
	}
	var size [4]byte
	if _, err := io.ReadFull(in.conn, size[:]); err != nil {
		return nil, fmt.Errorf("devbroker: own request: %w", err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(in.conn, body); err != nil {
		return nil, fmt.Errorf("devbroker: own request: %w", err)
	}
	head := 4
	if req.IsFlexible() {
		head = 5 // the header's own, empty, tags
	}
	resp := req.ResponseKind()
	if err := resp.ReadFrom(body[head:]); err != nil {
		return nil, fmt.Errorf("devbroker: own answer: %w", err)
	}
	return resp, nil
}

// ask sends one request over a connection of its own.
func (b *Broker) ask(node int32, req kmsg.Request) (kmsg.Response, error) {
	in, err := b.inner(node)
	if err != nil {
		return nil, err
	}
	defer in.conn.Close()
	return in.ask(req)
}

// askLeader sends a request to the leader of a partition.
func (b *Broker) askLeader(topic string, partition int32, req kmsg.Request) (kmsg.Response, error) {
	bounds, err := b.Bounds(topic, partition)
	if err != nil {
		return nil, err
	}
	return b.ask(bounds.Leader, req)
}

// askCoordinator sends a request to the coordinator of a group or transactional id.
func (b *Broker) askCoordinator(id string, req kmsg.Request) (kmsg.Response, error) {
	var node int32
	err := b.use(func(c *kfake.Cluster) error { node = c.CoordinatorFor(id); return nil })
	if err != nil {
		return nil, err
	}
	return b.ask(node, req)
}

// flexible is the first version of a request that can carry our mark. All are built from the same fields as the
// versions below them.
var flexible = map[kmsg.Key]int16{
	kmsg.Produce: 9, kmsg.Fetch: 12, kmsg.ListOffsets: 6, kmsg.Metadata: 9, kmsg.OffsetCommit: 8, kmsg.OffsetFetch: 6,
	kmsg.InitProducerID: 2, kmsg.AddPartitionsToTxn: 3, kmsg.AddOffsetsToTxn: 3, kmsg.TxnOffsetCommit: 3, kmsg.EndTxn: 3,
}

// forward does a client's request in its place, over a connection of our own, and gives the answer for the client.
func (b *Broker) forward(v *visit) (kmsg.Response, error) {
	req := v.req
	own := kmsg.RequestForKey(req.Key())
	own.SetVersion(req.GetVersion())
	if err := own.ReadFrom(req.AppendTo(nil)); err != nil {
		return nil, fmt.Errorf("devbroker: copy request: %w", err)
	}
	own.SetVersion(max(req.GetVersion(), flexible[kmsg.Key(req.Key())]))
	in, err := b.inner(v.node)
	if err != nil {
		return nil, err
	}
	defer in.conn.Close()
	stop := context.AfterFunc(v.life.ctx, func() { in.conn.Close() })
	defer stop()
	resp, err := in.ask(own)
	if err != nil {
		return nil, err
	}
	resp.SetVersion(req.GetVersion())
	return resp, nil
}

// tagsOf finds a request's tagged fields; requests of old kinds have none.
func tagsOf(req kmsg.Request) *kmsg.Tags {
	field := reflect.ValueOf(req).Elem().FieldByName("UnknownTags")
	if !field.IsValid() {
		return nil
	}
	return field.Addr().Interface().(*kmsg.Tags)
}

// isInner reports whether a request is our own.
func isInner(req kmsg.Request) bool {
	own := false
	if tags := tagsOf(req); tags != nil {
		tags.Each(func(key uint32, _ []byte) { own = own || key == innerTag })
	}
	return own
}
