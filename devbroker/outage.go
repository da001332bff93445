package devbroker

import (
	"errors"
	"fmt"
)

// Stop takes all nodes away: their connections break and new ones are refused, as after a crash. The data stays, on disk
// or in memory; group sessions run on. Resume brings the nodes back at the same addresses.
func (b *Broker) Stop() {
	for _, g := range b.gates {
		g.down()
	}
}

// Resume brings back what Stop and StopNode took away. An error tells that a port was taken meanwhile.
func (b *Broker) Resume() error {
	for node := range b.gates {
		if err := b.StartNode(int32(node)); err != nil {
			return err
		}
	}
	return nil
}

// StopNode takes one node away. It keeps leading its partitions and coordinating its groups: see MoveLeader and
// MoveCoordinators.
func (b *Broker) StopNode(node int32) error {
	g, err := b.gate(node)
	if err != nil {
		return err
	}
	g.down()
	return nil
}

// StartNode brings one node back.
func (b *Broker) StartNode(node int32) error {
	g, err := b.gate(node)
	if err != nil {
		return err
	}
	b.mu.RLock() // Close shuts the gates for good
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	return g.up()
}

// Sever breaks every client's connection; clients may connect again at once.
func (b *Broker) Sever() {
	for _, g := range b.gates {
		g.cut()
	}
}

func (b *Broker) gate(node int32) (*gate, error) {
	if node < 0 || int(node) >= len(b.gates) {
		return nil, fmt.Errorf("devbroker: no node %d", node)
	}
	return b.gates[node], nil
}

// ErrNoDir is what Reload and Truncate answer for a broker that has its data in memory. Start it with Dir.
var ErrNoDir = errors.New("a broker without Dir has nothing to start from")

// Reload ends the cluster, saving it, calls between, and starts it again from its Dir at the same addresses. In between
// nothing else uses the folder, so that between can copy it, or put a copy back: a log that was written meanwhile is
// then truncated, and written again it is another history (move the leader, for the epoch to rise). A hook that fails
// leaves the broker down, to be reloaded or closed. Faults do not outlive a Reload; Drop, Hollow and a Hold
// whose request has not come do.
func (b *Broker) Reload(between func(dir string) error) error {
	if b.cfg.dir == "" {
		return fmt.Errorf("devbroker: reload: %w", ErrNoDir)
	}
	led, err := b.leaders()
	if err != nil {
		return err
	}
	b.Stop()
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	b.halted = true
	b.mu.Unlock()
	if err := b.halt(); err != nil {
		return err
	}
	if between != nil {
		if err := between(b.cfg.dir); err != nil {
			return fmt.Errorf("devbroker: reload: %w", err)
		}
	}
	if err := b.boot(); err != nil {
		return err
	}
	if err := b.keepEpochs(led); err != nil {
		return err
	}
	return b.Resume()
}

// leaders gives the bounds of all partitions that have a log.
func (b *Broker) leaders() (map[place]Bounds, error) {
	logs, err := partitionDirs(b.cfg.dir)
	led := map[place]Bounds{}
	for p := range logs {
		if bounds, err := b.Bounds(p.topic, p.partition); err == nil {
			led[p] = bounds
		}
	}
	return led, err
}

// keepEpochs raises epochs to what they were: the cluster has forgotten those of which no batch is left, and would have leaders
// that follow each other under one epoch.
func (b *Broker) keepEpochs(led map[place]Bounds) error {
	for p, before := range led {
		for {
			now, err := b.Bounds(p.topic, p.partition)
			if err != nil || now.Epoch >= before.Epoch {
				break // a partition that is gone has none
			}
			if err := b.MoveLeader(p.topic, p.partition, before.Leader); err != nil {
				return err
			}
		}
	}
	return nil
}
