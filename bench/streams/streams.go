// Package streams is the peer in Java: a program of Kafka Streams that does the work of the benchmark. Maven brings its
// jars and a compiler, so that Maven and a Java without one (17 or newer) are enough.
package streams

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tarnstream/tarn/internal/realkafka"
)

// Version is that of Kafka Streams.
const Version = "4.3.0"

//go:embed pom.xml
var pom []byte

//go:embed Bench.java
var source []byte

// Program is the compiled program.
type Program struct{ libs, classes string }

// Make brings the jars and compiles the program, where that was not done before.
func Make(ctx context.Context) (*Program, error) {
	if err := realkafka.Missing(); err != nil {
		return nil, err
	}
	libs, err := realkafka.Bring(ctx, cacheName("streams-"+Version, pom), pom, "-Dkafka.version="+Version)
	if err != nil {
		return nil, err
	}
	classes, err := realkafka.Cached(cacheName("streams-bench", pom, source), func(folder string) error {
		return compile(ctx, libs, folder)
	})
	if err != nil {
		return nil, err
	}
	return &Program{libs, classes}, nil
}

// Command is a process that does a job, given as name=value. It prints the outcome as JSON.
func (p *Program) Command(ctx context.Context, job ...string) *exec.Cmd {
	path := p.classes + string(filepath.ListSeparator) + filepath.Join(p.libs, "*")
	args := []string{"-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", path, "Bench"}
	return exec.CommandContext(ctx, "java", append(args, job...)...)
}

// cacheName has another name for other texts.
func cacheName(of string, texts ...[]byte) string {
	sum := sha256.New()
	for _, text := range texts {
		fmt.Fprintf(sum, "%d %s", len(text), text)
	}
	return fmt.Sprintf("%s-%x", of, sum.Sum(nil)[:4])
}

// compile makes classes of the source in a folder. Eclipse's compiler is a program in Java.
func compile(ctx context.Context, libs, folder string) error {
	file := filepath.Join(folder, "Bench.java")
	if err := os.WriteFile(file, source, 0o644); err != nil {
		return err
	}
	jars, err := filepath.Glob(filepath.Join(libs, "*.jar"))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "java", "-cp", filepath.Join(libs, "*"), "org.eclipse.jdt.internal.compiler.batch.Main",
		"-17", "-proc:none", "-cp", strings.Join(jars, string(filepath.ListSeparator)), "-d", folder, file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("streams: compile: %w\n%s", err, out)
	}
	return nil
}
