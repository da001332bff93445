package figures

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Kind is how a report's figures are shown.
type Kind string

// The kinds.
const (
	Rates   Kind = "rates"   // records a second
	Reads   Kind = "reads"   // lookups a second
	Times   Kind = "times"   // until the first record
	Grows   Kind = "grows"   // rates by a size
	Delays  Kind = "delays"  // from end to end
	Holding Kind = "holding" // memory
)

// Report is what one section of the measurements gave.
type Report struct {
	Section string `json:"section"`
	Kind    Kind   `json:"kind"`
	// About says what was done, Setup with how much.
	About string    `json:"about"`
	Setup []string  `json:"setup"`
	Began time.Time `json:"began"`
	// Machine is where it was measured, and Load its load average before: a busy machine makes low figures.
	Machine string `json:"machine"`
	Load    string `json:"load"`
	// Commit is tarn's, where it is known.
	Commit string `json:"commit,omitempty"`
	// Runs of each client count, Warmups do not.
	Runs    int `json:"runs"`
	Warmups int `json:"warmups"`
	// Size is what X is, of a report that Grows.
	Size      string    `json:"size,omitempty"`
	Summaries []Summary `json:"summaries,omitempty"`
	Samples   []Sample  `json:"samples,omitempty"`
	Delays    []Delay   `json:"delays,omitempty"`
	Held      []Held    `json:"held,omitempty"`
}

// Table shows the figures.
func (r Report) Table(form Form) string {
	switch r.Kind {
	case Reads:
		return RateTable(r.Summaries, Lookups, nil, form)
	case Times:
		return TimeTable(r.Summaries, form)
	case Grows:
		return RateTable(r.Summaries, Records, GrowthOf(r.Size).Write, form)
	case Delays:
		return DelayTable(r.Delays, form)
	case Holding:
		return HeldTable(r.Held, form)
	}
	return RateTable(r.Summaries, Records, nil, form)
}

// Markdown is the report for a document, its plot in a folder. The folder is as the document names it, "" for its own.
func (r Report) Markdown(folder string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s; load average %s when it began.\n", r.When(), r.runs(), r.Load)
	fmt.Fprintf(&b, "%s: %s.\n", strings.ToUpper(r.About[:1])+r.About[1:], strings.Join(r.Setup, "; "))
	fmt.Fprintf(&b, "\n%s\n", r.Table(Markdown))
	if r.plots() {
		fmt.Fprintf(&b, "\n![%s](%s)\n", r.About, filepath.ToSlash(filepath.Join(folder, r.Section+".png")))
	}
	return b.String()
}

// When says when, where and of which tarn the figures are.
func (r Report) When() string {
	text := r.Began.Format("2 January 2006") + " on " + r.Machine
	if r.Commit != "" {
		text += ", tarn at " + r.Commit
	}
	return text
}

func (r Report) runs() string {
	text := fmt.Sprintf("%d runs of each by turns", r.Runs)
	if r.Runs == 1 {
		text = "one run of each"
	}
	switch r.Warmups {
	case 0:
	case 1:
		text += " after a warm-up"
	default:
		text += fmt.Sprintf(" after %d warm-ups", r.Warmups)
	}
	return text
}

// Empty tells that there are no figures: whatever was to be measured has failed.
func (r Report) Empty() bool { return len(r.Summaries)+len(r.Delays)+len(r.Held) == 0 }

// plots tells whether there is a picture of it.
func (r Report) plots() bool { return r.Kind != Delays && r.Kind != Holding }

// plot draws the picture.
func (r Report) plot(path string) error {
	switch r.Kind {
	case Reads:
		return PlotRates(r.Summaries, Lookups, path)
	case Times:
		return PlotTimes(r.Summaries, path)
	case Grows:
		return PlotGrowth(r.Summaries, GrowthOf(r.Size), path)
	}
	// What is read and thrown away would be by far the longest bar.
	return PlotRates(slices.DeleteFunc(slices.Clone(r.Summaries), func(s Summary) bool { return s.Work != r.Summaries[0].Work }), Records, path)
}

// Write puts SECTION.json, SECTION.md and, where there is one, SECTION.png into a folder.
func (r Report) Write(folder string) error {
	if err := errors.Join(WriteJSON(filepath.Join(folder, r.Section+".json"), r),
		os.WriteFile(filepath.Join(folder, r.Section+".md"), []byte(r.Markdown("")), 0o644)); err != nil {
		return err
	}
	if !r.plots() {
		return nil
	}
	return r.plot(filepath.Join(folder, r.Section+".png"))
}

// ReadReport is the report of a section that Write has put into a folder; an error that is fs.ErrNotExist where there is none.
func ReadReport(folder, section string) (r Report, err error) {
	data, err := os.ReadFile(filepath.Join(folder, section+".json"))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

// WriteJSON writes a file that people may read, too.
func WriteJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// Bytes writes a number of bytes.
func Bytes(n float64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%g MiB", n/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%g KiB", n/(1<<10))
	}
	return fmt.Sprintf("%g B", n)
}

// Count writes a number of things.
func Count(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.3g M", n/1e6)
	case n >= 10e3:
		return fmt.Sprintf("%.3g k", n/1e3)
	}
	return fmt.Sprintf("%g", n)
}
