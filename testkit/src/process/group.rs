//! A process group that ends with its holder, even if the holder is killed.
//!
//! A program may be a script that starts others: killing the program alone leaves those. So each
//! program runs in a group of its own, led by a shell that does nothing but read from a pipe. The
//! pipe's other end is in this process alone: when this process ends, in whatever way, the shell
//! reads the end of the file and kills its group. The kernel's death signal would not do: it
//! reaches the child alone, and comes when the thread that started the child ends.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// A group of processes. Dropping it kills all of them.
#[derive(Debug)]
pub(super) struct Group {
    /// The group has this shell's number, which stays taken until the shell has been waited for.
    leader: Child,
    id: Pid,
    _pipe: Option<ChildStdin>,
}

impl Group {
    /// An empty group: programs join it by [`Group::number`].
    pub(super) fn start() -> io::Result<Self> {
        let mut leader = Command::new("sh")
            .args(["-c", "read -r _; kill -KILL 0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = leader.stdin.take();
        let id = i32::try_from(leader.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("not a process id"))?;
        Ok(Self { leader, id, _pipe: pipe })
    }

    /// What a program is given to join.
    pub(super) fn number(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    /// Kills all that are in it and have not been waited for.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        // The leader has not been waited for before this, so the number is still the group's.
        if self.leader.try_wait()?.is_none() {
            kill_process_group(self.id, Signal::KILL)?;
            self.leader.wait()?;
        }
        Ok(())
    }

    /// Whether there is a process in it, be it one that ended and was not waited for. The number
    /// stays taken as long as there is one; only afterwards it could be another's.
    pub(super) fn is_empty(&self) -> bool {
        test_kill_process_group(self.id).is_err()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group that cannot be killed has ended.
        let _ = self.kill();
    }
}
