package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/state"
)

var leaves = kafka.MembershipConfig{LeaveOnStop: true}

func TestMembersShareTasksAndTakeOver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4)
		a := d.hire("a", leaves)
		d.balanced(5*time.Second, map[*clerk]int{a: 4})
		b := d.hire("b", leaves)
		d.balanced(5*time.Second, map[*clerk]int{a: 2, b: 2})
		require.Len(t, a.ever(&a.revoked), 2, "what stays is not revoked")
		c := d.hire("c", leaves)
		d.balanced(10*time.Second, map[*clerk]int{c: 1})

		info, err := d.broker.Group("g")
		require.NoError(t, err)
		for _, m := range info.Members {
			require.Equal(t, m.Assigned["in"], m.Assigned["too"], "Kafka's own tools see the tasks")
		}
		b.quit()
		took := d.balanced(10*time.Second, map[*clerk]int{a: 2, c: 2})
		require.LessOrEqual(t, took, 4*time.Second, "a leave is seen at the next heartbeat")
		a.quit()
		d.balanced(10*time.Second, map[*clerk]int{c: 4})
		c.quit()
		require.Empty(t, d.holder)
		d.sound()
	})
}

func TestKilledMemberIsTakenOverAfterItsSession(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4)
		a, b := d.hire("a", leaves), d.hire("b", leaves)
		d.balanced(10*time.Second, map[*clerk]int{a: 2, b: 2})
		b.kill()
		took := d.balanced(20*time.Second, map[*clerk]int{a: 4})
		require.Greater(t, took, 6*time.Second)
		require.Less(t, took, 15*time.Second)
		require.Empty(t, a.ever(&a.lost))
		d.sound()
	})
}

// TestR26_LongRevoke: giving up takes three sessions, and a restore would too; the member stays in the group.
func TestR26_LongRevoke(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4)
		a := d.hire("a", leaves)
		d.balanced(5*time.Second, map[*clerk]int{a: 4})
		a.slow = func(ctx context.Context, _ kafka.Member, _ []int32) {
			time.Sleep(30 * time.Second)
			require.NoError(t, ctx.Err())
			// A commit at the end of it, under whatever generation there is by now.
			m, ok := a.member.Current()
			require.True(t, ok)
			require.NoError(t, a.client.CommitOffsets(ctx, "g", m, map[string]map[int32]kafka.Offset{"in": {3: {Position: 7}}}))
		}
		b := d.hire("b", leaves)
		d.balanced(60*time.Second, map[*clerk]int{a: 2, b: 2})
		require.Empty(t, a.ever(&a.lost))
		a.slow = nil
		d.sound()
	})
}

// TestR27_StaticRestart: a static member that restarts has its tasks back at once, and the other's stay where they are.
func TestR27_StaticRestart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 6)
		a := d.hire("a", kafka.MembershipConfig{InstanceID: "one"})
		b := d.hire("b", kafka.MembershipConfig{InstanceID: "two"})
		d.balanced(10*time.Second, map[*clerk]int{a: 3, b: 3})
		for _, kill := range []bool{false, true} {
			had, revoked := b.tasks(), len(a.ever(&a.revoked))
			if kill {
				b.kill()
			} else {
				b.quit()
			}
			b = d.hire("b again", kafka.MembershipConfig{InstanceID: "two", Stored: func() []int32 { return had }})
			took := d.balanced(10*time.Second, map[*clerk]int{a: 3, b: 3})
			require.Less(t, took, 4*time.Second, "without waiting for the session's end")
			require.Equal(t, had, b.tasks())
			require.Len(t, a.ever(&a.revoked), revoked)
		}
		require.Empty(t, a.ever(&a.lost))
		d.sound()
	})
}

// TestStaticRestartOnAnotherDisk: the leader goes by what it was told last, be it of before the restart. A member that comes
// back without its disk, or with more on it, has its tasks all the same, and nobody else's move; what it says counts with
// the next tasks that are to be had.
func TestStaticRestartOnAnotherDisk(t *testing.T) {
	stored := func(tasks ...int32) func() []int32 { return func() []int32 { return tasks } }
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 6)
		a := d.hire("a", kafka.MembershipConfig{InstanceID: "one"})
		b := d.hire("b", kafka.MembershipConfig{InstanceID: "two"})
		c := d.hire("c", kafka.MembershipConfig{InstanceID: "three"})
		d.balanced(30*time.Second, map[*clerk]int{a: 2, b: 2, c: 2})
		for _, has := range []func() []int32{stored(), stored(0, 1, 2, 3, 4, 5)} {
			hadA, hadB, hadC := a.tasks(), b.tasks(), c.tasks()
			b.kill()
			b = d.hire("b again", kafka.MembershipConfig{InstanceID: "two", Stored: has})
			d.balanced(10*time.Second, map[*clerk]int{a: 2, b: 2, c: 2})
			require.Equal(t, [][]int32{hadA, hadB, hadC}, [][]int32{a.tasks(), b.tasks(), c.tasks()})
		}
		// c goes for good, and its tasks are shared out. A newcomer with them on disk has them back.
		had := c.tasks()
		c.kill()
		d.balanced(30*time.Second, map[*clerk]int{a: 3, b: 3})
		c = d.hire("c again", kafka.MembershipConfig{InstanceID: "four", Stored: stored(had...)})
		d.balanced(30*time.Second, map[*clerk]int{a: 2, b: 2, c: 2})
		require.Equal(t, had, c.tasks())
		require.Empty(t, a.ever(&a.lost))
		d.sound()
	})
}

// TestR68_OlderOfTwoWithOneInstanceID ends with a named error, and does not come back.
func TestR68_OlderOfTwoWithOneInstanceID(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4)
		a := d.hire("a", kafka.MembershipConfig{InstanceID: "one", LeaveOnStop: true})
		d.balanced(5*time.Second, map[*clerk]int{a: 4})
		copied := d.hire("copy", kafka.MembershipConfig{InstanceID: "one", LeaveOnStop: true})
		<-a.done
		require.ErrorIs(t, a.err, kafka.ErrFencedInstance)
		require.Len(t, a.ever(&a.lost), 4)
		require.Empty(t, a.ever(&a.revoked), "nothing is committed by the older")
		d.balanced(5*time.Second, map[*clerk]int{copied: 4})
		time.Sleep(time.Minute)
		require.Len(t, copied.tasks(), 4)
	})
}

// TestR25_EveryRetriableCode of every request of a member, and a lost connection: no task moves, none is lost.
func TestR25_EveryRetriableCode(t *testing.T) {
	requests := []devbroker.Request{devbroker.FindCoordinator, devbroker.JoinGroup, devbroker.SyncGroup, devbroker.Heartbeat}
	codes := []devbroker.Code{devbroker.CoordinatorLoading, devbroker.CoordinatorNotAvailable, devbroker.NotCoordinator, devbroker.Timeout}
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4, devbroker.Brokers(2))
		a := d.hire("a", leaves)
		d.balanced(5*time.Second, map[*clerk]int{a: 4})
		for _, r := range requests {
			for _, code := range append(codes, 0) {
				if code == 0 {
					d.broker.Drop(r, 1)
				} else {
					d.broker.Fail(devbroker.Fault{Request: r, Err: code, TopLevel: true})
				}
				b := d.hire(fmt.Sprintf("b %v %v", r, code), leaves)
				d.balanced(30*time.Second, map[*clerk]int{a: 2, b: 2})
				b.quit()
				d.balanced(10*time.Second, map[*clerk]int{a: 4})
				d.broker.Undrop()
				require.Empty(t, a.ever(&a.lost), "%v %v", r, code)
				require.Empty(t, b.ever(&b.lost), "%v %v", r, code)
			}
		}
		d.sound()
	})
}

func TestR25_CoordinatorMoves(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4, devbroker.Brokers(3))
		a, b := d.hire("a", leaves), d.hire("b", leaves)
		d.balanced(10*time.Second, map[*clerk]int{a: 2, b: 2})
		was := d.broker.Coordinator("g")
		for d.broker.Coordinator("g") == was {
			require.NoError(t, d.broker.MoveCoordinators())
		}
		time.Sleep(time.Minute)
		require.Len(t, a.tasks(), 2)
		require.Len(t, b.tasks(), 2)
		require.Empty(t, a.ever(&a.lost))
		b.quit()
		d.balanced(10*time.Second, map[*clerk]int{a: 4})
	})
}

// TestSessionEndsWithoutCoordinator: cut off, the member drops its tasks before the group gives them away, and joins
// again when the broker is back.
func TestSessionEndsWithoutCoordinator(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4)
		a := d.hire("a", leaves)
		d.balanced(5*time.Second, map[*clerk]int{a: 4})
		_, ok := a.member.Current()
		require.True(t, ok)
		d.broker.Stop()
		took := d.balanced(20*time.Second, map[*clerk]int{a: 0})
		require.LessOrEqual(t, took, 10*time.Second+50*time.Millisecond)
		require.Len(t, a.ever(&a.lost), 4)
		_, ok = a.member.Current()
		require.False(t, ok)
		require.NoError(t, d.broker.Resume())
		d.balanced(20*time.Second, map[*clerk]int{a: 4})
	})
}

// TestR24_R36_PartitionCountChanges: Run gives up in order and names the topic and both counts.
func TestR24_R36_PartitionCountChanges(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4)
		a := d.hire("a", leaves)
		d.balanced(5*time.Second, map[*clerk]int{a: 4})
		require.NoError(t, d.broker.AddPartitions("too", 6))
		<-a.done
		wrong, ok := errors.AsType[*kafka.PartitionCountError](a.err)
		require.True(t, ok, "%v", a.err)
		require.Equal(t, kafka.PartitionCountError{Topic: "too", Was: 4, Is: 6}, *wrong)
		require.Len(t, a.ever(&a.revoked), 4)

		b := d.hire("b", leaves)
		<-b.done
		_, ok = errors.AsType[*kafka.PartitionCountError](b.err)
		require.True(t, ok, "inputs that are not co-partitioned: %v", b.err)
		require.NoError(t, d.broker.DeleteTopic("too"))
		c := d.hire("c", leaves)
		<-c.done
		_, ok = errors.AsType[*state.TopicMissingError](c.err)
		require.True(t, ok, "%v", c.err)
	})
}

// TestR65_CommitsGoOnInRebalances: a commit that meets the window between two generations succeeds under the next.
func TestR65_CommitsGoOnInRebalances(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4)
		a := d.hire("a", leaves)
		d.balanced(5*time.Second, map[*clerk]int{a: 4})
		stop, stopped := make(chan struct{}), make(chan struct{})
		commits, again := 0, 0
		go func() {
			defer close(stopped)
			for position := int64(1); ; position++ {
				for { // one commit, until it is confirmed
					m, _ := a.member.Current()
					err := a.client.CommitOffsets(t.Context(), "g", m, map[string]map[int32]kafka.Offset{"in": {0: {Position: position}}})
					if err == nil {
						break
					}
					if !errors.Is(err, kafka.ErrIllegalGeneration) && !errors.Is(err, kafka.ErrRebalanceInProgress) {
						t.Errorf("commit: %v", err)
						return
					}
					again++
					a.member.Rejoin(err)
					time.Sleep(10 * time.Millisecond)
				}
				commits++
				select {
				case <-stop:
					return
				case <-time.After(7 * time.Millisecond):
				}
			}
		}()
		for range 3 {
			// Both members' syncs are kept: the new generation is there, and nobody knows it yet.
			one, two := d.broker.Hold(devbroker.SyncGroup, "g"), d.broker.Hold(devbroker.SyncGroup, "g")
			b := d.hire("b", leaves)
			<-one.Arrived()
			<-two.Arrived()
			time.Sleep(200 * time.Millisecond)
			one.Release()
			two.Release()
			d.balanced(20*time.Second, map[*clerk]int{a: 2, b: 2})
			b.quit()
			d.balanced(10*time.Second, map[*clerk]int{a: 4})
		}
		close(stop)
		<-stopped
		require.Positive(t, again, "the window was met")
		require.Empty(t, a.ever(&a.lost))
		info, err := d.broker.Group("g")
		require.NoError(t, err)
		require.Equal(t, int64(commits), info.Commits["in"][0].Offset)
	})
}

// TestMemberOfAnotherTopologyIdles until it leads, as in a rolling deploy.
func TestMemberOfAnotherTopologyIdles(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4)
		a := d.hire("a", kafka.MembershipConfig{Fingerprint: "v1", LeaveOnStop: true})
		d.balanced(5*time.Second, map[*clerk]int{a: 4})
		b := d.hire("b", kafka.MembershipConfig{Fingerprint: "v2", LeaveOnStop: true})
		d.until(10*time.Second, func() bool { return b.saw(kafka.MemberIdle) })
		time.Sleep(30 * time.Second)
		require.Empty(t, b.tasks())
		require.Len(t, a.tasks(), 4)
		a.quit()
		d.balanced(10*time.Second, map[*clerk]int{b: 4})
	})
}

// TestStopWhileJoining ends at once, whatever a join waits for, and leaves nothing behind in the group.
func TestStopWhileJoining(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4)
		a := d.hire("a", leaves)
		d.balanced(5*time.Second, map[*clerk]int{a: 4})
		beats := d.broker.Hold(devbroker.Heartbeat, "g") // a does not hear of the rebalance
		b := d.hire("b", leaves)
		time.Sleep(time.Second)
		begun := time.Now()
		b.quit()
		require.Less(t, time.Since(begun), time.Second)
		beats.Release()
		time.Sleep(10 * time.Second)
		require.Len(t, a.tasks(), 4)
		info, err := d.broker.Group("g")
		require.NoError(t, err)
		require.Len(t, info.Members, 1)
	})
}

// TestStopPastDeadline: a callback that does not return in time has its context ended, and the group goes on.
func TestStopPastDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4)
		a := d.hire("a", leaves)
		d.balanced(5*time.Second, map[*clerk]int{a: 4})
		a.slow = func(ctx context.Context, _ kafka.Member, _ []int32) { <-ctx.Done() }
		begun := time.Now()
		a.quit()
		require.Equal(t, 15*time.Second, time.Since(begun).Truncate(time.Second))
		info, err := d.broker.Group("g")
		require.NoError(t, err)
		require.Empty(t, info.Members)
	})
}

// TestUnknownMember: the group dropped the member. Its tasks are lost, and it comes back as a new one.
func TestUnknownMember(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDesk(t, 4)
		a := d.hire("a", leaves)
		d.balanced(5*time.Second, map[*clerk]int{a: 4})
		first, _ := a.member.Current()
		d.broker.Fail(devbroker.Fault{Request: devbroker.Heartbeat, Err: devbroker.UnknownMemberID, TopLevel: true})
		a.member.Rejoin(fmt.Errorf("a commit: %w", kafka.ErrUnknownMember))
		d.until(5*time.Second, func() bool { return len(a.ever(&a.lost)) == 4 })
		d.balanced(30*time.Second, map[*clerk]int{a: 4})
		now, _ := a.member.Current()
		require.NotEqual(t, first.ID, now.ID)
		// A fenced producer: everything is dropped and taken up again.
		a.member.Rejoin(errors.New("producer fenced"))
		d.until(5*time.Second, func() bool { return len(a.ever(&a.lost)) == 8 })
		d.balanced(30*time.Second, map[*clerk]int{a: 4})
		d.sound()
	})
}

// TestMembershipNeedsGroupAndTopics, and says so before it touches the network.
func TestMembershipNeedsGroupAndTopics(t *testing.T) {
	c, err := kafka.NewClient(kafka.Config{Brokers: []string{"127.0.0.1:1"}})
	require.NoError(t, err)
	require.Error(t, c.NewMembership(kafka.MembershipConfig{Topics: []string{"in"}}).Run(t.Context(), nil))
	require.Error(t, c.NewMembership(kafka.MembershipConfig{Group: "g"}).Run(t.Context(), nil))
}
