//go:build !linux

package realkafka

import "syscall"

func endWithUs() *syscall.SysProcAttr { return nil }
