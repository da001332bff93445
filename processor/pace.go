package processor

import (
	"slices"
	"time"
)

// pace tells how fast a restore reads now: by the last paceWindow, so that it neither jumps with every answer nor speaks of
// what was before the broker became slow.
type pace struct {
	moments  []moment // oldest first, paceGrain apart at least; the first is the newest that is a window old, or the beginning
	position int64
}

// moment is where a restore stood at a time.
type moment struct {
	time     time.Time
	position int64
}

const (
	paceWindow = 10 * time.Second
	paceGrain  = time.Second // bounds the moments kept
)

func (p *pace) begin(now time.Time, position int64) {
	p.moments, p.position = append(p.moments[:0], moment{now, position}), position
}

func (p *pace) moved(now time.Time, position int64) {
	p.position = position
	if now.Sub(p.moments[len(p.moments)-1].time) >= paceGrain {
		p.moments = append(p.moments, moment{now, position})
	}
	p.moments = slices.Delete(p.moments, 0, p.base(now))
}

// base is the moment from which a window that ends now is counted.
func (p *pace) base(now time.Time) (n int) {
	for n+1 < len(p.moments) && now.Sub(p.moments[n+1].time) >= paceWindow {
		n++
	}
	return n
}

// rate is in offsets a second. It falls while nothing comes.
func (p *pace) rate(now time.Time) float64 {
	if len(p.moments) == 0 {
		return 0
	}
	from := p.moments[p.base(now)]
	return perSecond(p.position-from.position, now.Sub(from.time))
}

func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}
