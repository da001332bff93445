package realkafka

import (
	"context"
	"embed"
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
var pom embed.FS

// Missing tells which program this package needs and cannot find, and how to get it; nil where all are there.
func Missing() error {
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("realkafka: %w: a real Kafka needs Java 17 or newer and Maven (Debian: apt-get install default-jre-headless maven)", err)
		}
	}
	return nil
}

// jars gives the folder with Kafka's jars, which Maven brings at the first call for a version. They stay in the user's cache
// directory. Processes that need the same ones at the same time each bring their own; the first that is done gives its
// folder the name.
func jars(ctx context.Context, version string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("realkafka: a place for Kafka's jars: %w", err)
	}
	home := filepath.Join(cache, "tarn", "kafka-"+version)
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
	if err := bring(ctx, work, version); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(work, "libs"), home); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return home, nil
}

func bring(ctx context.Context, work, version string) error {
	text, err := pom.ReadFile("pom.xml")
	if err != nil {
		return err
	}
	file := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	mvn := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", file, "-Dkafka.version="+version,
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(work, "libs"))
	if out, err := mvn.CombinedOutput(); err != nil {
		return fmt.Errorf("realkafka: Maven does not bring Kafka %s: %w\n%s", version, err, out)
	}
	return nil
}
