package figures

import (
	"errors"
	"fmt"
)

// Measure is what of two clients is compared. Each is a ratio that is greater the better the client is.
type Measure string

// The measures.
const (
	Rate     Measure = "records/s"
	OfWarm   Measure = "records/s, of its warm rate" // all of the client's run to the peer's after a quarter of the records
	CPU      Measure = "CPU s per 1 M"
	Time     Measure = "time to the first record"
	Peak     Measure = "peak memory"
	Restored Measure = "records restored"
)

// Target is the least that a client's figure must be of its peer's.
type Target struct {
	Work    string  `json:"work"`
	Measure Measure `json:"measure"`
	Client  string  `json:"client"`
	// Peer is a client of the same work, or the name of Limit.
	Peer string `json:"peer"`
	// Limit is what the client's figure must not exceed, in the measure's unit (bytes, records), instead of a peer's.
	Limit float64 `json:"limit,omitempty"`
	Least float64 `json:"least_ratio"`
}

// Verdict is what a run says of a Target.
type Verdict struct {
	Target
	// Measured tells that both figures are there.
	Measured   bool    `json:"measured"`
	Figure     float64 `json:"figure"`
	PeerFigure float64 `json:"peer_figure"`
	// Ratio is how many times as good as its peer the client is.
	Ratio float64 `json:"ratio"`
}

// Reached tells whether it was measured and is enough.
func (v Verdict) Reached() bool { return v.Measured && v.Ratio >= v.Least }

// Judge compares the figures with the targets.
func Judge(all []Summary, targets []Target) (out []Verdict) {
	for _, t := range targets {
		out = append(out, t.judge(all))
	}
	return out
}

func (t Target) judge(all []Summary) Verdict {
	v := Verdict{Target: t, PeerFigure: t.Limit}
	client, ok := Find(all, t.Work, t.Client)
	if !ok {
		return v
	}
	v.Figure = t.Measure.of(client)
	if t.Limit == 0 {
		peer, ok := Find(all, t.Work, t.Peer)
		if !ok {
			return v
		}
		v.PeerFigure = t.Measure.ofPeer(peer)
	}
	if v.Figure < 0 || v.PeerFigure <= 0 || v.Figure == 0 && t.Measure != Restored {
		return v // not known
	}
	v.Measured, v.Ratio = true, v.PeerFigure/v.Figure
	switch {
	case t.Measure.more():
		v.Ratio = v.Figure / v.PeerFigure
	case v.Figure == 0:
		v.Ratio = v.PeerFigure // nothing at all is as good as one
	}
	return v
}

// more tells that more of it is better.
func (m Measure) more() bool { return m == Rate || m == OfWarm }

func (m Measure) of(s Summary) float64 {
	switch m {
	case CPU:
		return s.CPU
	case Time:
		return s.Seconds
	case Peak:
		return float64(s.Peak)
	case Restored:
		return float64(s.Restored)
	}
	return s.Rate
}

func (m Measure) ofPeer(s Summary) float64 {
	if m == OfWarm {
		return s.Warm
	}
	return m.of(s)
}

// write gives a figure with its unit.
func (m Measure) write(figure float64) string {
	switch m {
	case CPU:
		return fmt.Sprintf("%.2f s", figure)
	case Time:
		return milliseconds(figure) + " ms"
	case Peak:
		return mib(int64(figure)) + " MiB"
	case Restored:
		return known(int64(figure))
	}
	return thousands(figure) + "/s"
}

// TargetTable shows what was reached.
func TargetTable(all []Verdict, form Form) string {
	var rows [][]string
	for _, v := range all {
		figure, peer, ratio, verdict := "", "", "", "not measured"
		if v.Measured {
			figure, peer, ratio, verdict = v.Measure.write(v.Figure), v.Measure.write(v.PeerFigure), fmt.Sprintf("%.2f", v.Ratio), "missed"
		}
		if v.Reached() {
			verdict = "reached"
		}
		rows = append(rows, []string{v.Work, string(v.Measure), v.Client, figure, v.Peer, peer, ratio, fmt.Sprintf("%g", v.Least), verdict})
	}
	return tabulate([]string{"work", "measure", "client", "figure", "beside", "its figure", "times as good", "asked for", ""}, rows, []int{4, 6, 7, 8}, form)
}

// Tally counts them.
func Tally(all []Verdict) string {
	var reached, missed int
	for _, v := range all {
		switch {
		case v.Reached():
			reached++
		case v.Measured:
			missed++
		}
	}
	text := fmt.Sprintf("%d of %d reached, %d missed", reached, len(all), missed)
	if left := len(all) - reached - missed; left > 0 {
		text += fmt.Sprintf(", %d not measured", left)
	}
	return text
}

// Missed is an error for each that was not reached, nil where all were.
func Missed(all []Verdict) error {
	var errs []error
	for _, v := range all {
		switch {
		case !v.Measured:
			errs = append(errs, fmt.Errorf("%s: %s beside %s was not measured", v.Work, v.Client, v.Peer))
		case !v.Reached():
			errs = append(errs, fmt.Errorf("%s: %s is %.2f times as good as %s (%s), asked for is %.2f", v.Work, v.Client, v.Ratio, v.Peer, v.Measure, v.Least))
		}
	}
	return errors.Join(errs...)
}
