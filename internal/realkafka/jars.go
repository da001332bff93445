package realkafka

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The versions of Apache Kafka that tests run on.
const (
	Newest = "4.3.0"
	Oldest = "3.9.1"
)

//go:embed pom.xml
var pom []byte

// Missing tells which program this package needs and cannot find, and how to get it; nil where all are there.
func Missing() error {
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("realkafka: %w: a real Kafka needs Java 17 or newer and Maven (Debian: apt-get install default-jre-headless maven)", err)
		}
	}
	return nil
}

// jars gives the folder with Kafka's jars.
func jars(ctx context.Context, version string) (string, error) {
	return Bring(ctx, "kafka-"+version, pom, "-Dkafka.version="+version)
}

// Bring gives the folder with the jars that a pom asks for, which Maven, with its options, brings at the first call for a
// name. They stay in the user's cache directory: another pom needs another name.
func Bring(ctx context.Context, name string, pom []byte, options ...string) (home string, err error) {
	return Cached(name, func(folder string) error {
		file := filepath.Join(folder, "pom.xml")
		if err := os.WriteFile(file, pom, 0o644); err != nil {
			return err
		}
		args := append([]string{"-q", "-B", "-f", file, "dependency:copy-dependencies", "-DincludeScope=runtime",
			"-DoutputDirectory=" + folder}, options...)
		if out, err := exec.CommandContext(ctx, "mvn", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("realkafka: Maven does not bring %s: %w\n%s", name, err, out)
		}
		return nil
	})
}

// Cached gives a folder of the user's cache directory, which fill fills at the first call for a name. Processes that need the
// same one at the same time each fill their own; the first that is done gives its folder the name.
func Cached(name string, fill func(folder string) error) (home string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("realkafka: a place for %s: %w", name, err)
	}
	home = filepath.Join(cache, "tarn", name)
	if _, err := os.Stat(home); err == nil {
		return home, nil
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(home), "bring-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	folder := filepath.Join(work, "made")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return "", err
	}
	if err := fill(folder); err != nil {
		return "", err
	}
	if err := os.Rename(folder, home); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return home, nil
}
