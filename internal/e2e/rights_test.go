//go:build kafka

package e2e_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/kafka"
)

// Operations, in short.
const (
	read            = sarama.AclOperationRead
	write           = sarama.AclOperationWrite
	create          = sarama.AclOperationCreate
	remove          = sarama.AclOperationDelete
	describe        = sarama.AclOperationDescribe
	describeConfigs = sarama.AclOperationDescribeConfigs
)

// right is one that an operator grants, on a topic, group or transactional id of the site, by its short name, or on all
// whose names begin so.
type right struct {
	on        sarama.AclResourceType
	name      string
	operation sarama.AclOperation
	prefixed  bool
}

func (r right) String() string { return r.on.String() + " " + r.name + " " + r.operation.String() }

// implies tells whether the right holds another one: Read, Write and Delete hold Describe.
func (r right) implies(other right) bool {
	return r.on == other.on && r.name == other.name && other.operation == describe && slices.Contains([]sarama.AclOperation{read, write, remove}, r.operation)
}

func onTopic(name string, operations ...sarama.AclOperation) []right {
	var rights []right
	for _, o := range operations {
		rights = append(rights, right{on: sarama.AclResourceTopic, name: name, operation: o})
	}
	return rights
}

func onGroup(operation sarama.AclOperation) []right {
	return []right{{on: sarama.AclResourceGroup, name: "group", operation: operation}}
}

func onID(operation sarama.AclOperation) []right {
	return []right{{on: sarama.AclResourceTransactionalID, name: "id", operation: operation}}
}

// onIDs is for the transactional ids of a group's processes.
func onIDs(operation sarama.AclOperation) []right {
	return []right{{on: sarama.AclResourceTransactionalID, name: "group-", operation: operation, prefixed: true}}
}

// anyTopic is what an error names where a user may write to no topic at all.
var anyTopic = right{on: sarama.AclResourceCluster, operation: sarama.AclOperationIdempotentWrite}

// job is something that a user does.
type job struct {
	// rights are the least ones for it.
	rights []right
	// given are rights that it has in addition, whichever of the others is missing.
	given []right
	// before makes what is there before.
	before func(g *guarded)
	// do returns nil once all is done that it is for.
	do func(g *guarded) error
	// names are rights that an error names instead of a missing one.
	names map[right]right
}

// TestLeastRights: with the rights of the table each job is done, over TLS with SCRAM. Without any one of them an error
// names it, and Run ends.
//
// Kafka asks for Describe first, which Read and Write hold: who lacks one of these is told of that. So each of them is also
// taken away from a user who has Describe.
func TestLeastRights(t *testing.T) {
	cluster := startGuarded(t)
	for name, j := range jobs {
		t.Run(name, func(t *testing.T) {
			t.Run("all", func(t *testing.T) {
				g := newGuarded(t, cluster)
				j.before(g)
				g.grant(slices.Concat(j.rights, j.given))
				require.NoError(t, j.do(g))
			})
			for i, missing := range j.rights {
				others := slices.Concat(j.rights[:i], j.rights[i+1:], j.given)
				seen := missing
				seen.operation = describe
				test := func(name string, rights []right, named right) {
					t.Run(name, func(t *testing.T) {
						g := newGuarded(t, cluster)
						j.before(g)
						g.grant(rights)
						g.requireNamed(named, j.do(g))
					})
				}
				instead := missing
				if other, ok := j.names[missing]; ok {
					instead = other
				}
				if missing.implies(seen) && !slices.ContainsFunc(others, func(r right) bool { return r == seen || r.implies(seen) }) {
					test("without "+missing.String(), others, seen)
					test(missing.String()+" only described", append(others, seen), instead)
				} else {
					test("without "+missing.String(), others, instead)
				}
			}
		})
	}
}

// requireNamed requires that err names the right, for programs and for people.
func (g *guarded) requireNamed(missing right, err error) {
	g.Helper()
	g.Log(err)
	name := ""
	if missing.on != sarama.AclResourceCluster {
		name = g.topic(missing.name)
	}
	var named *kafka.RightError
	require.ErrorAs(g, err, &named)
	require.Equal(g, missing.on.String(), named.Resource)
	if missing.prefixed {
		require.Greater(g, len(named.Name), len(name))
		named.Name = named.Name[:len(name)]
	}
	require.Equal(g, name, named.Name)
	require.Equal(g, missing.operation.String(), named.Operation)
	require.ErrorContains(g, err, "no right to "+map[bool]string{true: "Write", false: missing.operation.String()}[missing == anyTopic])
	require.ErrorContains(g, err, "kafka-acls.sh --add --operation ")
}

// run runs until done holds, or until that ends with an error.
func (g *guarded) run(run func(context.Context) error, done func() bool) error {
	ctx, cancel := context.WithCancel(g.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(patience)
	for {
		select {
		case err := <-ended:
			return err
		case <-look.C:
			if done() {
				cancel()
				return <-ended
			}
		case <-deadline:
			cancel()
			require.FailNow(g, "it neither does its work nor ends", "%v", <-ended)
		}
	}
}
