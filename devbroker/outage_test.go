package devbroker

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tarnstream/tarn/internal/bubbletest"
)

func TestLostAtRunTimeAndBackOnTheSameAddress(t *testing.T) {
	for name, opts := range map[string][]Option{"memory": nil, "disk": {Dir(t.TempDir())}} {
		t.Run(name, func(t *testing.T) {
			b := start(t, opts...)
			topic(t, b, "t", 1)
			c := client(t, b)
			require.NoError(t, c.ProduceSync(short(t), &kgo.Record{Value: []byte("1")}).FirstErr())
			addrs := b.Addrs()
			b.Stop()
			_, err := net.Dial("tcp", addrs[0])
			require.Error(t, err)
			require.Equal(t, []string{"1"}, values(t, b, "t", 0), "the test can look into a broker that is away")
			done := make(chan error, 1)
			go func() { done <- c.ProduceSync(short(t), &kgo.Record{Value: []byte("2")}).FirstErr() }()
			require.NoError(t, b.Resume())
			require.NoError(t, b.Resume())
			require.NoError(t, <-done)
			require.Equal(t, addrs, b.Addrs())
			b.Sever()
			require.NoError(t, c.ProduceSync(short(t), &kgo.Record{Value: []byte("3")}).FirstErr())
			require.Equal(t, []string{"1", "2", "3"}, values(t, b, "t", 0))
		})
	}
}

func TestOneNodeAway(t *testing.T) {
	b := start(t, Brokers(2))
	topic(t, b, "t", 1)
	require.NoError(t, b.MoveLeader("t", 0, 1))
	require.NoError(t, b.StopNode(0))
	require.Error(t, b.StopNode(2))
	_, err := net.Dial("tcp", b.Addrs()[0])
	require.Error(t, err)
	require.Zero(t, fetch(t, wire(t, b, 1), place{"t", 0}, 0).ErrorCode)
	require.NoError(t, b.StartNode(0))
	require.Equal(t, int16(NotLeader), fetch(t, wire(t, b, 0), place{"t", 0}, 0).ErrorCode)
}

func TestDataOnDiskOutlivesTheBroker(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Dir(dir), Brokers(2))
	require.NoError(t, b.CreateTopic("t", 1, map[string]string{"cleanup.policy": "compact"}))
	require.NoError(t, b.Produce("t", 0, rec("a", "1", "b", "2", "c", "3")...))
	require.NoError(t, b.DeleteRecords("t", 0, 1))
	tx := begin(t, b, "tx")
	require.NoError(t, tx.Produce("t", 0, rec("d", "4")...))
	require.NoError(t, tx.Commit())
	id := b.TopicID("t")
	require.NoError(t, b.Close())

	b = start(t, Dir(dir), Brokers(2))
	require.Equal(t, id, b.TopicID("t"))
	require.Equal(t, []string{"2", "3", "4"}, values(t, b, "t", 0))
	config, _, err := b.Config("t")
	require.NoError(t, err)
	require.Equal(t, "compact", config["cleanup.policy"])
}

const victimDir = "DEVBROKER_TEST_VICTIM"

// victim is the process that TestAcknowledgedRecordsOutliveAKill kills.
func victim(dir string) {
	b, err := Start(Dir(dir))
	if err == nil {
		err = b.CreateTopic("t", 1, nil)
	}
	if err == nil {
		err = b.CreateTopic("open", 1, nil)
	}
	if err == nil {
		_, err = hang(b, "open")
	}
	for i := 0; err == nil; i++ {
		if err = b.Produce("t", 0, rec("k", strconv.Itoa(i))...); err == nil {
			os.Stdout.WriteString(strconv.Itoa(i) + "\n")
		}
	}
	os.Stderr.WriteString(err.Error())
	os.Exit(1)
}

func TestAcknowledgedRecordsOutliveAKill(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	acked, buf := 0, make([]byte, 256)
	for acked < 50 {
		n, err := out.Read(buf)
		require.NoError(t, err)
		for _, c := range buf[:n] {
			if c == '\n' {
				acked++
			}
		}
	}
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	b := start(t, Dir(dir))
	got := values(t, b, "t", 0)
	require.GreaterOrEqual(t, len(got), acked)
	for i, v := range got {
		require.Equal(t, strconv.Itoa(i), v)
	}
	require.NoError(t, b.Produce("t", 0, rec("k", "after")...))

	bounds, err := b.Bounds("open", 0)
	require.NoError(t, err)
	require.Equal(t, []int64{2, 2}, []int64{bounds.Stable, bounds.End}, "a marker ends what the kill cut off")
	again, err := hang(b, "open")
	require.NoError(t, err)
	require.NoError(t, again.Commit())
	require.Equal(t, []string{"late"}, values(t, b, "open", 0), "the next transaction is read, and commits nothing but itself")
	require.NoError(t, b.Reload(nil))
	require.Equal(t, []string{"late"}, values(t, b, "open", 0))
}

// hang begins a transaction of one record.
func hang(b *Broker, topic string) (*Transaction, error) {
	x, err := b.Begin("cut", time.Minute)
	if err == nil {
		err = x.Produce(topic, 0, Record{Key: []byte("k"), Value: []byte("late")})
	}
	return x, err
}

func TestOneBrokerAFolder(t *testing.T) {
	dir := t.TempDir()
	start(t, Dir(dir))
	_, err := Start(Dir(dir))
	in, ok := errors.AsType[*InUseError](err)
	require.True(t, ok, err)
	require.Equal(t, strconv.Itoa(os.Getpid()), in.Holder)
	require.ErrorContains(t, err, dir)
}

func TestR05_ReloadPutsAnOlderLogBack(t *testing.T) {
	dir, copied := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	b := start(t, Dir(dir))
	topic(t, b, "t", 1)
	require.NoError(t, b.Produce("t", 0, rec("k", "1")...))
	id, addrs := b.TopicID("t"), b.Addrs()
	require.NoError(t, b.Reload(func(dir string) error { return os.CopyFS(copied, os.DirFS(dir)) }))
	require.NoError(t, b.Produce("t", 0, rec("k", "2")...))
	require.NoError(t, b.Hollow("t", 0, 0, 1))
	require.NoError(t, b.Reload(func(dir string) error {
		if err := os.RemoveAll(filepath.Join(dir, "partitions")); err != nil {
			return err
		}
		return os.CopyFS(filepath.Join(dir, "partitions"), os.DirFS(filepath.Join(copied, "partitions")))
	}))
	require.Empty(t, values(t, b, "t", 0), "record 2 is lost, record 1 hollow")
	before, err := b.Bounds("t", 0)
	require.NoError(t, err)
	require.Equal(t, int64(1), before.End)
	require.NoError(t, b.MoveLeader("t", 0, 0))
	require.NoError(t, b.Produce("t", 0, rec("k", "other")...))
	require.Equal(t, []string{"other"}, values(t, b, "t", 0))
	require.Equal(t, id, b.TopicID("t"))
	require.Equal(t, addrs, b.Addrs())
	all := batches(fetch(t, wire(t, b, 0), place{"t", 0}, 1).RecordBatches)
	require.Equal(t, before.Epoch+1, all[len(all)-1].PartitionLeaderEpoch)
}

func TestReloadThatFailsCanBeRepeated(t *testing.T) {
	b := start(t, Dir(t.TempDir()))
	topic(t, b, "t", 1)
	failed := errors.New("no copy")
	require.ErrorIs(t, b.Reload(func(string) error { return failed }), failed)
	require.Error(t, b.CreateTopic("u", 1, nil))
	require.NoError(t, b.Reload(nil))
	require.NoError(t, b.Produce("t", 0, rec("k", "v")...))
	require.Error(t, start(t).Reload(nil), "nothing to start from")
}

func TestVirtualHourOfLongPolls(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		b, err := Start(Virtual(), Brokers(3))
		require.NoError(t, err)
		require.NoError(t, b.CreateTopic("t", 1, map[string]string{"cleanup.policy": "compact"}))
		require.NoError(t, b.MoveLeader("t", 0, 2))
		require.Equal(t, []string{"127.0.0.1:9092", "127.0.0.1:9093", "127.0.0.1:9094"}, b.Addrs())
		conn, err := b.Dialer().Dial("tcp", b.Addrs()[2])
		require.NoError(t, err)
		in := &inner{conn: conn}
		begun := time.Now()
		for range 3600 {
			req := fetchRequest("t", 0, 0)
			req.MaxWaitMillis, req.MinBytes = 1000, 1
			_, err := in.exchange(req)
			require.NoError(t, err)
		}
		require.Equal(t, time.Hour, time.Since(begun))
		h := b.HoldAnswer(Fetch, "t")
		got := inBackground(in, fetchRequest("t", 0, 0))
		<-h.Arrived()
		time.Sleep(time.Minute)
		h.Release()
		require.NoError(t, (<-got).err)
		b.Stop()
		_, err = b.Dialer().Dial("tcp", b.Addrs()[2])
		require.Error(t, err)
		require.NoError(t, b.Resume())
		conn, err = b.Dialer().Dial("tcp", b.Addrs()[2])
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		require.NoError(t, b.Close())
		_, err = b.Dialer().Dial("tcp", b.Addrs()[2])
		require.Error(t, err)
	})
}

func TestCloseTellsThatItCouldNotSave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	b, err := Start(Dir(dir))
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	require.ErrorContains(t, b.Close(), "persist to disk")
}

// A log that lost all of it keeps the epoch of its new leader, whatever is reloaded later, so that its next records are another
// history to who has read the old ones.
func TestR05_EpochOfAnEmptiedLogOutlivesReloads(t *testing.T) {
	b := start(t, Dir(t.TempDir()))
	topic(t, b, "t", 1)
	require.NoError(t, b.Produce("t", 0, rec("k", "1")...))
	_, err := b.Truncate("t", 0, 0)
	require.NoError(t, err)
	before, err := b.Bounds("t", 0)
	require.NoError(t, err)
	require.Positive(t, before.Epoch)
	require.NoError(t, b.Reload(nil))
	after, err := b.Bounds("t", 0)
	require.NoError(t, err)
	require.Equal(t, before, after)
}
