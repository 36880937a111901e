package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// SSHUser says what a user of an SSH server is like.
type SSHUser struct {
	Shell      string            // empty: /bin/bash
	Password   string            // empty: none, only the key lets in
	Passphrase string            // of the key; empty: it is not encrypted
	Files      map[string]string // in the home directory: name -> content, such as ".bashrc"
	OtherDisk  int64             // when not zero, home is a file system of its own with so many bytes
	ReadOnly   bool              // home may not be written
}

// SSHAccount is a user of this machine that a server lets in.
type SSHAccount struct {
	Name string
	Home string
	Key  string // private key file
	UID  int
}

// User makes a user who may log in to s, and to those that the account is given to with Admit. The user, its files
// and its processes go with the test.
func (s *SSHServer) User(u SSHUser) SSHAccount {
	s.t.Helper()
	account, err := s.makeUser(s.t.Context(), u)
	if err != nil {
		s.t.Fatalf("testenv: make a user: %v", err)
	}
	return account
}

func (s *SSHServer) makeUser(ctx context.Context, u SSHUser) (account SSHAccount, err error) {
	dir, err := os.MkdirTemp("", "rt-home-")
	if err != nil {
		return account, err
	}
	account = SSHAccount{
		Name: "rt" + strings.TrimPrefix(filepath.Base(dir), "rt-home-"), Home: filepath.Join(dir, "home"), Key: filepath.Join(dir, "id_ed25519"),
	}
	s.t.Cleanup(func() {
		ctx, cancel := cleanupContext(s.t)
		defer cancel()
		if err := removeUser(ctx, account.Name, dir); err != nil {
			s.t.Errorf("testenv: remove user %s: %v", account.Name, err)
		}
	})
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(account.Home, 0o755)); err != nil {
		return account, err
	}
	shell := u.Shell
	if shell == "" {
		shell = "/bin/bash"
	}
	if err := addUser(ctx, account.Name, account.Home, shell, u.Password, dir); err != nil {
		return account, err
	}
	who, err := user.Lookup(account.Name)
	if err != nil {
		return account, err
	}
	uid, uidErr := strconv.Atoi(who.Uid)
	gid, gidErr := strconv.Atoi(who.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return account, err
	}
	account.UID = uid
	if u.OtherDisk > 0 {
		options := fmt.Sprintf("size=%d,mode=0755", u.OtherDisk)
		if _, err := output(exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", options, "tmpfs", account.Home)); err != nil {
			return account, fmt.Errorf("mount a home: %w", err)
		}
	}
	for name, content := range u.Files {
		path := filepath.Join(account.Home, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644), os.Chown(path, uid, gid))
		if err != nil {
			return account, err
		}
	}
	if !u.ReadOnly {
		if err := os.Chown(account.Home, uid, gid); err != nil {
			return account, err
		}
	}
	if err := makeKey(ctx, account.Key, "ed25519", u.Passphrase); err != nil {
		return account, err
	}
	return account, s.admit(account)
}

// Admit lets an account that was made for another server in here too.
func (s *SSHServer) Admit(account SSHAccount) {
	s.t.Helper()
	if err := s.admit(account); err != nil {
		s.t.Fatalf("testenv: admit %s: %v", account.Name, err)
	}
}

func (s *SSHServer) admit(account SSHAccount) error {
	public, err := os.ReadFile(account.Key + ".pub")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, "keys", account.Name), public, 0o644)
}

// sshLedger holds a file for each user and each server's directory that was made and not removed: who made it, and
// the directory that goes with it.
func sshLedger() (string, error) { return stateSubdir("sshd") }

// enterSSHLedger writes down what this process makes, before it does.
func enterSSHLedger(name, dir string) (ledger string, err error) {
	if ledger, err = sshLedger(); err != nil {
		return "", err
	}
	owner := os.Getpid()
	line := fmt.Sprintf("%d %s %s\n", owner, startTicks(owner), dir)
	return ledger, writeWhole(filepath.Join(ledger, name), []byte(line), 0o600)
}

func addUser(ctx context.Context, name, home, shell, password, dir string) error {
	ledger, err := enterSSHLedger(name, dir)
	if err != nil {
		return err
	}
	release, err := lock(ctx, ledger+".lock") // these programs do not wait long for each other
	if err != nil {
		return err
	}
	defer release()
	if _, err := output(exec.CommandContext(ctx, "useradd", "--no-log-init", "--home-dir", home, "--shell", shell, "--password", "*", name)); err != nil {
		return err
	}
	if password == "" {
		return nil
	}
	set := exec.CommandContext(ctx, "chpasswd", "--crypt-method", "SHA512")
	set.Stdin = strings.NewReader(name + ":" + password + "\n")
	_, err = output(set)
	return err
}

// removeUser removes a user with all that is its own; for what is no user, only the directory.
func removeUser(ctx context.Context, name, dir string) error {
	ledger, err := sshLedger()
	if err != nil {
		return err
	}
	var problems []error
	if who, err := user.Lookup(name); err == nil {
		if uid, err := strconv.Atoi(who.Uid); err == nil {
			problems = append(problems, endProcessesOf(ctx, uid))
		}
		release, err := lock(ctx, ledger+".lock")
		if err != nil {
			return err
		}
		if _, err := user.Lookup(name); err == nil { // what was left behind is removed by whoever comes first
			_, err = output(exec.CommandContext(ctx, "userdel", "--force", name))
			if err != nil && strings.Contains(err.Error(), "mail spool") {
				err = nil
			}
			problems = append(problems, err)
		}
		release()
	}
	problems = append(problems, removeTree(dir))
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return os.Remove(filepath.Join(ledger, name))
}

// endProcessesOf kills all that a user runs, until nothing is left.
func endProcessesOf(ctx context.Context, uid int) error {
	for {
		left := processesOf(uid)
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone already, which is the aim
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("processes of user %d do not end: %v: %w", uid, left, err)
		}
	}
}

func processesOf(uid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || startTicks(pid) == "" { // a zombie is nobody's
			continue
		}
		status, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "status"))
		if err != nil {
			continue
		}
		for line := range bytes.Lines(status) {
			if rest, ok := bytes.CutPrefix(line, []byte("Uid:")); ok {
				if fields := bytes.Fields(rest); len(fields) > 0 && string(fields[0]) == strconv.Itoa(uid) {
					pids = append(pids, pid)
				}
			}
		}
	}
	return pids
}

// removeStaleSSH removes the users and directories of test processes that were killed.
func removeStaleSSH(ctx context.Context) error {
	ledger, err := sshLedger()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(ledger)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var problems []error
	for _, entry := range entries {
		raw, err := os.ReadFile(filepath.Join(ledger, entry.Name()))
		if err != nil { // its owner has just removed it
			continue
		}
		if strings.HasSuffix(entry.Name(), ".part") {
			continue
		}
		var owner int
		var ownerStarted, dir string
		if _, err := fmt.Sscan(string(raw), &owner, &ownerStarted, &dir); err != nil || startTicks(owner) == ownerStarted {
			continue
		}
		if err := removeUser(ctx, entry.Name(), dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
