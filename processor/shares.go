package processor

import "github.com/tarnstream/tarn/internal/ldb"

// crowd is what the memory of a Processor or a View is divided among: as many tasks as it may ever get, so that nothing
// is to be divided anew when partitions come and go.
type crowd struct {
	tasks                  int // partitions of the inputs
	tables, inputs, joined int // of each task: tables kept, inputs, joined tables
	whole                  int // partitions of looked-up tables, or of a view's table
}

func (c crowd) stores() int { return c.tasks*(c.tables+c.joined) + c.whole }

func (c crowd) overlays() int { return c.tasks * c.tables }

func (c crowd) cursors() int { return c.tasks*(c.inputs+c.joined) + c.whole + mostRebuilds }

// inUse is what of the memory that an option gives may be in use: with Go's default GOGC=100 the heap grows to twice of that
// before it is collected, and the runtime takes some more for it.
func inUse(memory int64) int64 { return memory / 16 * 7 }

// shares is how what may be in use is divided.
type shares struct {
	fixed  int64 // what is not bounded by any of the others
	buffer int   // LevelDB's memory table of a store
	filter int   // of the keys of a store
	cache  int   // the stores' blocks, which may have more while layers are idle
	layers int64 // what callbacks have written, until it is on disk; rebuilds take theirs from it
	rows   int64 // rows that overlays have read
	fetch  int64 // the reader
	write  int64 // the producer

	rebuild  int64 // a rebuild that has its turn
	rebuilds int   // turns at a time
	reserve  int64 // of layers, for a turn
}

const (
	// programBytes is what a Processor or View takes beside its tasks and stores.
	programBytes = 2 << 20
	// taskBytes and storeBytes are a task and an open LevelDB without what is bounded here: goroutines, journals, files.
	taskBytes  = 64 << 10
	storeBytes = 128 << 10
	// tableWriters is how many tables of LevelDBs are written at a time, openTables how many are kept open.
	tableWriters = 2
	openTables   = 512
	// memoryTables is how often a store has its buffer in memory: two memory tables, each with an index that may be as
	// large, and the same again while a generation that was replaced is still read.
	memoryTables = 8
	mostRebuilds = 4
	mostRebuild  = 16 << 20 // more of it makes a rebuild hardly faster
	leastRebuild = 4 << 20  // less of it makes it slower than another one beside it makes up for
	mostBuffer   = 4 << 20
	mostFilter   = 32 << 20
	// mostBatch is that of a restore without a turn. LevelDB's memory table becomes as large as a batch.
	mostBatch = 512 << 10
)

// flushed is how much more than the layers themselves it takes to flush them, in quarters: a quarter at most is flushed at a
// time, and is then in memory two more times: as a batch, and in LevelDB with its index, which is large where the rows are small.
const flushed = 2

// portion is one part's claim: what it cannot do without, how it shares in the rest, and what it can use at most.
type portion struct{ least, weight, most int64 }

const unbounded = 1 << 50

// claims are the claims of cache, buffers, layers, rows, fetch, write and filters.
func (c crowd) claims() [7]portion {
	stores, overlays, cursors := int64(c.stores()), int64(c.overlays()), int64(c.cursors())
	claims := [7]portion{
		{least: 512 << 10, weight: 6, most: unbounded},
		{least: stores * memoryTables * 8 << 10, weight: 10, most: stores * memoryTables * mostBuffer},
		{least: 2 << 20, weight: 49, most: unbounded},
		{least: overlays * 8 << 10, weight: 18, most: overlays * 64 << 20},
		{least: 256<<10 + cursors*32<<10, weight: 9, most: cursors * 8 << 20},
		{least: 1 << 20, weight: 4, most: 32 << 20},
		{weight: 4, most: stores * mostFilter},
	}
	if stores == 0 {
		claims[0] = portion{}
	}
	if c.tasks == 0 { // nothing is written, and all that is fetched is restored
		claims[4].weight, claims[5] = 16, portion{}
	}
	return claims
}

// leastMemory is what the option must be at least.
func (c crowd) leastMemory() int64 { return (c.least() + 6) / 7 * 16 }

// least is what must be in use at least.
func (c crowd) least() int64 {
	sum := c.fixed()
	for _, p := range c.claims() {
		sum += p.least
	}
	return sum
}

func (c crowd) fixed() int64 {
	n := programBytes + int64(c.tasks)*taskBytes + int64(c.stores())*storeBytes
	if c.stores() > 0 {
		n += tableWriters * ldb.TableBytes
	}
	return n
}

// share divides memory that is no less than leastMemory.
func (c crowd) share(memory int64) shares {
	claims := c.claims()
	spare, weights := inUse(memory)-c.least(), int64(0)
	for _, p := range claims {
		weights += p.weight
	}
	var parts [len(claims)]int64
	left := spare
	for i, p := range claims {
		more := min(spare*p.weight/weights, max(p.most-p.least, 0))
		parts[i] = p.least + more
		left -= more
	}
	parts[0] += left // what nobody else can use makes reads faster
	s := shares{fixed: c.fixed(), cache: int(parts[0]), layers: parts[2] * 4 / (4 + flushed), rows: parts[3], fetch: parts[4], write: parts[5]}
	if n := c.stores() * memoryTables; n > 0 {
		s.buffer, s.filter = int(parts[1])/n, int(parts[6])/c.stores()
	}
	s.turns(c.stores())
	return s
}

// turns divides three quarters of the layers among rebuilds: while one waits for its broker or its disk others go on. There are two
// at least, so that one whose broker is away is not waited for.
func (s *shares) turns(stores int) {
	all := s.layers * 3 / 4 * (4 + flushed) / 4 // what is reserved is not flushed either
	n := max(2, min(all/leastRebuild, mostRebuilds, int64(stores)))
	s.rebuild = min(all/n, mostRebuild)
	s.rebuilds = int(min(all/s.rebuild, mostRebuilds))
	s.reserve = min(s.rebuild*4/(4+flushed), s.layers*3/4/int64(s.rebuilds))
}
