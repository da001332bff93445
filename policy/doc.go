// Package policy holds choices: of a group's inputs, what is done about a record that cannot be handled, where an input
// begins, and what it does when it cannot go on where the group stood; of a View's reads, whether they are answered where
// it is not current; of an Emitter, how it gathers records; of a state directory, how long it keeps what is not in use.
//
// A choice of the first kind stands at one Input, or holds for every input of the group that does not make its own:
//
//	topology.Input(orders, onOrder, policy.OnError(policy.Retry(policy.Backoff{Attempts: 5}, policy.DeadLetter("orders-dead"))))
//	processor.New(group, processor.Inputs(policy.OnError(policy.Skip())))
//
// One of the second kind is made by each read:
//
//	total, ok, err := totals.Get("alice", policy.MaxAge(10*time.Second))
package policy
