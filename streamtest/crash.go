package streamtest

import (
	"os"
	"path/filepath"
	"testing/synctest"
)

// Crash ends the instance as a loss of power would: nothing more reaches Kafka, and its state is what had been synced to
// disk at that moment. An instance started under its name goes on with that state. What is left of the processor is stopped
// behind a line that is cut, which takes up to its StopTimeout of virtual time.
func (i *Instance) Crash() {
	i.kit.t.Helper()
	i.failed = true
	i.kit.note("crash of %s", i.name)
	dir, image, disk := filepath.Join(i.kit.Dir, i.name), i.kit.t.TempDir(), i.kit.disk(i.name)
	synctest.Wait() // nobody writes to the folder from here to the cut
	err := copyTables(dir, image)
	if err == nil {
		err = disk.synced.Drop(dir, image)
	}
	i.line.cut()
	i.cancel()
	<-i.done
	if err == nil {
		err = removeTables(dir)
	}
	if err == nil {
		err = copyTables(image, dir)
	}
	disk.synced.Forget(dir)
	if err != nil {
		i.kit.t.Fatalf("streamtest: crash of instance %s: %v", i.name, err)
	}
}

// tables are the folders of tables below a state folder. The lock and the instance id beside them are files, which stay
// as they are over a crash.
func tables(dir string) (folders []string, err error) {
	all, err := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
	for _, path := range all {
		if info, e := os.Stat(path); e == nil && info.IsDir() {
			folders = append(folders, path)
		}
	}
	return folders, err
}

func copyTables(from, to string) error {
	list, err := tables(from)
	for _, table := range list {
		rel, e := filepath.Rel(from, table)
		if e == nil {
			e = os.CopyFS(filepath.Join(to, rel), os.DirFS(table))
		}
		if e != nil {
			return e
		}
	}
	return err
}

func removeTables(dir string) error {
	list, err := tables(dir)
	for _, table := range list {
		if e := os.RemoveAll(table); e != nil {
			return e
		}
	}
	return err
}
