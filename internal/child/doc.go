// Package child runs the program that imports it a second time, as a process of its own that can be killed, frozen and
// stopped: for programs that show what becomes of a group when that happens to its members.
//
//	p, err := child.Start(child.Config{Log: "logs/a.log", Args: []string{"member", dir}})
//	p.Kill()
//	err = <-p.Ended()
//
// A child's standard input is a pipe. It ends with the parent, however that ends: a child that reads it to its end outlives
// nobody.
package child
