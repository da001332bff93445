package kafka

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

// TestReaderScenarios plays each file of testdata/reader to a fetcher: what a reader decides, without its connections. Run
// with -rewrite to have the answers written anew, and review the diff. Broker 0 leads all of topic t until it is moved.
//
//	open N at=P | seek N at=P | close N      cursors of partition N
//	plan                                     what broker 0 is asked now; plans are numbered from 1
//	answer M N=WHAT ..                       the answer to plan M, for each partition N: records:FIRST:COUNT:END,
//	                                         empty:STABLE, hidden:NEXT:STABLE, cut:NEXT (an incomplete batch), or a code's number
//	throttled M N=WHAT ..                    the same from a broker that throttles
//	broken M | damaged M                     the connection broke; the answer cannot be decoded
//	leader NODE | again | missing            metadata: a new leader, the topic made again, no such topic
//	poll N                                   what the cursor's user gets
//	pass D | metadata                        time passes; which topics are to be asked about
func TestReaderScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/reader", func(t *testing.T, path string) {
		s := &readerScenario{script: newScript(t), flows: map[int32]*flow{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t = t
			s.out.Reset()
			s.run(d)
			return s.out.String()
		})
	})
}

type readerScenario struct {
	*script
	flows map[int32]*flow
	plans []fetchPlan
	out   strings.Builder
}

func (s *readerScenario) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

// number is the directive's i-th word.
func (s *readerScenario) number(d *datadriven.TestData, i int) int {
	n, err := strconv.Atoi(d.CmdArgs[i].Key)
	require.NoError(s.t, err)
	return n
}

// planned is the plan that a directive is about.
func (s *readerScenario) planned(d *datadriven.TestData) fetchPlan {
	n := s.number(d, 0)
	require.LessOrEqual(s.t, n, len(s.plans), d.Pos)
	return s.plans[n-1]
}

func (s *readerScenario) run(d *datadriven.TestData) {
	var at int64
	d.MaybeScanArgs(s.t, "at", &at)
	switch d.Cmd {
	case "open":
		p := int32(s.number(d, 0))
		s.flows[p] = newFlow("t", p, nil)
		s.x.add(s.flows[p], s.now)
		s.lead(0)
		s.x.seek(s.flows[p], at, s.now)
	case "seek":
		s.x.seek(s.flows[int32(s.number(d, 0))], at, s.now)
	case "close":
		s.x.remove(s.flows[int32(s.number(d, 0))])
	case "plan":
		s.ask()
	case "answer", "throttled":
		s.reply(d)
	case "broken":
		s.fail(s.planned(d), io.ErrUnexpectedEOF)
	case "damaged":
		s.fail(s.planned(d), errDamaged)
	case "poll":
		s.poll(s.flows[int32(s.number(d, 0))])
	case "pass":
		span, err := time.ParseDuration(d.CmdArgs[0].Key)
		require.NoError(s.t, err)
		s.pass(span)
	default:
		s.tellMetadata(d)
	}
}

func (s *readerScenario) tellMetadata(d *datadriven.TestData) {
	switch d.Cmd {
	case "leader":
		s.lead(int32(s.number(d, 0)))
	case "again":
		s.id++
		s.lead(0)
	case "missing":
		s.x.metadata(map[string]Topic{"t": {Name: "t", Err: &state.TopicMissingError{Topic: "t"}}}, s.now)
	case "metadata":
		if names, wait := s.x.metadataDue(s.now); len(names) > 0 {
			s.say("ask about %v", names)
		} else {
			s.say("in %v", wait)
		}
	default:
		s.t.Fatalf("no such directive: %s", d.Cmd)
	}
}

func (s *readerScenario) ask() {
	p := s.x.plan(0, s.now)
	if len(p.asks) == 0 {
		s.say("nothing, %s", map[bool]string{true: "until something happens", false: "look again in " + p.wait.String()}[p.wait < 0])
		return
	}
	s.plans = append(s.plans, p)
	var asks []string
	for _, k := range p.asks {
		asks = append(asks, fmt.Sprintf("%d at %d", k.flow.partition, k.position))
	}
	how := ""
	if p.alone {
		how += ", alone"
	}
	if p.ample {
		how += " with room"
	}
	s.say("plan %d: fetch %s%s, waiting %v", len(s.plans), strings.Join(asks, ", "), how, p.maxWait)
}

func (s *readerScenario) reply(d *datadriven.TestData) {
	b := parts{}
	for _, a := range d.CmdArgs[1:] {
		p, err := strconv.Atoi(a.Key)
		require.NoError(s.t, err)
		b[int32(p)] = s.block(a.Vals[0])
	}
	s.x.answer(s.planned(d), b.answer(d.Cmd == "throttled"), s.now)
}

func (s *readerScenario) block(what string) *part {
	f := strings.Split(what, ":")
	var n [3]int64
	for i, v := range f[1:] {
		var err error
		n[i], err = strconv.ParseInt(v, 10, 64)
		require.NoError(s.t, err)
	}
	switch f[0] {
	case "records":
		return partWith(n[0], int(n[1]), n[2])
	case "empty":
		return partWith(0, 0, n[0])
	case "hidden":
		return emptied(partWith(0, 0, n[1]), n[0])
	case "cut":
		return cutOff(0, n[0])
	}
	code, err := strconv.Atoi(f[0])
	require.NoError(s.t, err, what)
	return refusal(sarama.KError(code))
}

func (s *readerScenario) poll(f *flow) {
	c, ok, err := f.pop()
	switch {
	case err != nil:
		s.say("error: %v", err)
	case !ok:
		s.say("nothing")
	default:
		s.say("[%d, %d) %d records, stable %d, end %d", c.position, c.next, len(c.records.Records), c.records.Stable, c.records.End)
	}
}
