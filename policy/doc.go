// Package policy holds choices about a group's inputs: what is done about a record that cannot be handled, where an input
// begins, and what it does when it cannot go on where the group stood.
//
// A choice stands at one Input, or holds for every input of the group that does not make its own:
//
//	topology.Input(orders, onOrder, policy.OnError(policy.Retry(policy.Backoff{Attempts: 5}, policy.Skip())))
//	processor.New(group, processor.Inputs(policy.OnError(policy.Skip())))
package policy
