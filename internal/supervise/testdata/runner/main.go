// Command runner is what the tests put into a container that has nothing else:
// the supervisor, and a few things for it to keep.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/supervise"
)

func main() {
	switch os.Args[1] {
	case "supervise":
		os.Exit(supervise.Main(os.Args[2:], os.Stdin, os.Stdout))
	case "exit": // CODE: says who it is and ends
		fmt.Println("uid", os.Getuid(), "parent", os.Getppid(), "args", len(os.Args))
		code, err := strconv.Atoi(os.Args[2])
		if err != nil {
			panic(err)
		}
		os.Exit(code)
	case "orphans": // leaves children behind that end, and one that does not
		for range 3 {
			start("middle")
		}
		start("silent")
		fmt.Println("left")
	case "middle":
		start("short")
	case "short":
		time.Sleep(10 * time.Millisecond)
	case "obey": // waits for SIGTERM
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("on")
		<-c
		fmt.Println("asked")
		os.Exit(3)
	case "silent":
		time.Sleep(time.Hour)
	case "hang":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("on")
		time.Sleep(time.Hour)
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}

func start(word string) {
	cmd := exec.Command("/proc/self/exe", word)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr // there may be no /dev/null
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}
