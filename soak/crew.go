package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/tarnstream/tarn/devbroker"
)

// slot is a state folder and the instance that runs on it, nil for none.
type slot struct {
	name string
	dir  string
	now  instance
	runs int
}

// crew is the two instances and what happens to them.
type crew struct {
	broker *devbroker.Broker
	dir    string
	log    *slog.Logger
	out    io.Writer
	rand   *rand.Rand
	freeze bool
	slots  []*slot
	events map[string]int
}

func newCrew(b *devbroker.Broker, c config, log *slog.Logger, out io.Writer) *crew {
	w := &crew{broker: b, dir: c.dir, log: log, out: out, rand: rand.New(rand.NewPCG(c.seed, 0)), freeze: c.freeze, events: map[string]int{}}
	for _, name := range []string{"a", "b"} {
		w.slots = append(w.slots, &slot{name: name, dir: filepath.Join(c.dir, "state-"+name)})
	}
	return w
}

// soak lets events happen until ctx ends. An instance that ends by itself ends it with an error.
func (w *crew) soak(ctx context.Context) error {
	for {
		timer := time.NewTimer(time.Duration((0.05 + w.rand.ExpFloat64()/2) * float64(time.Second)))
		select {
		case <-timer.C:
		case err := <-w.slots[0].ended():
			return w.slots[0].gone(err)
		case err := <-w.slots[1].ended():
			return w.slots[1].gone(err)
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		if err := w.event(w.slots[w.rand.IntN(len(w.slots))]); err != nil {
			return err
		}
	}
}

func (s *slot) ended() <-chan error {
	if s.now == nil {
		return nil
	}
	return s.now.ended()
}

// gone is an instance that ended by itself.
func (s *slot) gone(err error) error {
	s.now = nil
	if err == nil {
		err = errors.New("without an error")
	}
	return fmt.Errorf("instance %s ended by itself: %w", s.name, err)
}

// event does the next thing of the script.
func (w *crew) event(s *slot) error {
	dice := w.rand.IntN(10)
	o, isOutside := s.now.(*outside)
	switch {
	case dice == 0:
		w.tell("connections cut", "all")
		w.broker.Sever()
		return nil
	case s.now == nil:
		return w.join(s, dice%2 == 0)
	case isOutside && dice < 5:
		w.tell("killed", s.name)
		o.kill()
		s.now = nil
		return nil
	case isOutside && dice < 7 && w.freeze:
		d := session/2 + time.Duration(w.rand.Int64N(int64(2*session)))
		w.tell("frozen", s.name)
		if err := o.Freeze(); err != nil {
			return err
		}
		time.Sleep(d)
		return o.Thaw()
	}
	w.tell("left", s.name)
	return s.leave()
}

// join starts an instance, in this process or in one of its own.
func (w *crew) join(s *slot, here bool) (err error) {
	s.runs++
	if here {
		w.tell("joined in this process", s.name)
		s.now, err = startInside(w.broker.Addrs()[0], s.dir, w.log.With("instance", s.name))
		return err
	}
	w.tell("joined as a process", s.name)
	s.now, err = startOutside(w.broker.Addrs()[0], s.dir, filepath.Join(w.dir, "logs", fmt.Sprintf("%s-%d.log", s.name, s.runs)))
	return err
}

// leave stops the slot's instance cleanly.
func (s *slot) leave() error {
	if s.now == nil {
		return nil
	}
	s.now.stop()
	err := <-s.now.ended()
	s.now = nil
	if err != nil {
		return fmt.Errorf("instance %s did not leave cleanly: %w", s.name, err)
	}
	return nil
}

func (w *crew) tell(what, who string) {
	w.events[what]++
	w.log.Info("EVENT", "what", what, "instance", who)
}
