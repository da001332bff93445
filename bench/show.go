package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tarnstream/tarn/bench/figures"
)

// Places of the document beside those of the sections.
const (
	surroundingsPlace = "surroundings"
	targetsPlace      = "targets"
)

// all measures every section that was asked for, and shows each when it is done. What fails takes no other section with it.
func (b *bench) all(ctx context.Context) error {
	if err := b.places(); err != nil {
		return err
	}
	s := surroundings(b.brokerText())
	for _, l := range s.lines(b.takesPart) {
		fmt.Fprintf(b.log, "%-8s %s\n", l[0], l[1])
	}
	if err := b.write(surroundingsPlace, s, s.markdown()); err != nil {
		return err
	}
	var errs []error
	var summaries []figures.Summary
	for _, section := range b.sections {
		r, err := b.section(ctx, section)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if r.Kind != figures.Grows { // a size's figures are no work's
			summaries = append(summaries, r.Summaries...)
		}
		errs = append(errs, err, b.show(r))
	}
	kept, from, err := b.kept()
	errs = append(errs, err, b.judge(append(summaries, kept...), from))
	if b.out != "" {
		fmt.Fprintf(b.log, "\nJSON, Markdown and plots are in %s\n", b.out)
	}
	return errors.Join(errs...)
}

// section measures one.
func (b *bench) section(ctx context.Context, s section) (figures.Report, error) {
	r := figures.Report{Section: s.name, Kind: s.kind, About: s.about, Setup: s.setup(), Size: s.size, Began: time.Now(), Machine: processors(), Commit: b.commit, Load: loadNow(), Runs: b.runs, Warmups: b.warmups}
	fmt.Fprintf(b.log, "\n== %s: %s\n", s.name, s.about)
	var err error
	switch s.name {
	case latencySection:
		err = b.latency(ctx, s.trials[0], &r)
	case memorySection:
		err = b.pressure(ctx, s.trials[0], &r)
	default:
		err = b.rates(ctx, s, &r)
	}
	return r, err
}

// show prints a section's figures and writes them where asked.
func (b *bench) show(r figures.Report) error {
	if r.Empty() {
		return nil
	}
	fmt.Fprintf(b.log, "\n%s, %s; %.0f s\n%s\n", r.Section, strings.Join(r.Setup, "; "), time.Since(r.Began).Seconds(), r.Table(figures.Terminal))
	if b.out == "" {
		return nil
	}
	if err := r.Write(b.out); err != nil {
		return err
	}
	return b.insert(r.Section, r.Markdown)
}

// kept are the figures of sections with targets that were not measured now, as the folder has them, and where each is from.
func (b *bench) kept() (all []figures.Summary, from []string, err error) {
	if !b.targets || b.out == "" {
		return nil, nil, nil
	}
	for _, name := range targetSections() {
		if slices.ContainsFunc(b.sections, func(s section) bool { return s.name == name }) {
			continue
		}
		r, err := figures.ReadReport(b.out, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", b.out, err)
		}
		from = append(from, fmt.Sprintf("%s is of another run: %s", name, r.When()))
		all = append(all, r.Summaries...)
	}
	return all, from, nil
}

// judge shows how the figures stand to those to reach, and where those are from that were not measured now, and fails for those that
// flags ask for.
func (b *bench) judge(all []figures.Summary, from []string) error {
	if b.targets {
		verdicts := figures.Judge(all, targets())
		tally := strings.Join(append([]string{figures.Tally(verdicts)}, from...), "; ")
		fmt.Fprintf(b.log, "\nfigures to reach\n%s\n%s\n", figures.TargetTable(verdicts, figures.Terminal), tally)
		text := fmt.Sprintf("%s: %s.\n\n%s\n", time.Now().Format("2 January 2006"), tally, figures.TargetTable(verdicts, figures.Markdown))
		if err := b.write(targetsPlace, verdicts, text); err != nil {
			return err
		}
	}
	return figures.Missed(figures.Judge(all, b.asked))
}

// write puts something into NAME.json and NAME.md of the folder, and into the document.
func (b *bench) write(name string, v any, markdown string) error {
	if b.out == "" {
		return nil
	}
	return errors.Join(figures.WriteJSON(filepath.Join(b.out, name+".json"), v),
		os.WriteFile(filepath.Join(b.out, name+".md"), []byte(markdown), 0o644),
		b.insert(name, func(string) string { return markdown }))
}

// insert puts what markdown gives for the folder of the plots, as the document names it, into the document.
func (b *bench) insert(place string, markdown func(folder string) string) error {
	if b.doc == "" {
		return nil
	}
	folder, err := b.folder()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(b.doc)
	if err != nil {
		return err
	}
	changed, err := figures.Insert(string(text), place, markdown(folder))
	if err != nil {
		return fmt.Errorf("%s: %w", b.doc, err)
	}
	return os.WriteFile(b.doc, []byte(changed), 0o644)
}

// folder is the folder of the plots as the document names it.
func (b *bench) folder() (string, error) { return filepath.Rel(filepath.Dir(b.doc), b.out) }

// places tells, before hours go by, whether the document has a place for everything.
func (b *bench) places() error {
	if b.doc == "" {
		return nil
	}
	text, err := os.ReadFile(b.doc)
	if err != nil {
		return err
	}
	wanted := []string{surroundingsPlace}
	if b.targets {
		wanted = append(wanted, targetsPlace)
	}
	for _, s := range b.sections {
		wanted = append(wanted, s.name)
	}
	_, err = b.folder()
	errs := []error{err}
	for _, place := range wanted {
		_, err := figures.Insert(string(text), place, "")
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
