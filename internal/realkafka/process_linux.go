package realkafka

import "syscall"

// endWithUs has the kernel end a broker when this process ends, also where it is killed.
func endWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
