//! What Linux tells about a process: memory, descriptors, processor time, children.

use std::fs;
use std::io;
use std::path::Path;

/// Resident bytes of one process.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most that was resident since the process began, or since [`forget_peak`].
pub fn peak_resident_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmHWM:")
}

/// From now on the peak is counted anew.
pub fn forget_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

fn status_bytes(pid: u32, field: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other(format!("no {field} is told: the process has ended")))
}

/// Open descriptors of one process.
pub fn descriptors(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Nanoseconds on a processor, by the scheduler's accounting, of all threads now alive.
///
/// The first figure of `schedstat` is the run time that the scheduler itself uses: exact, unlike
/// the ticks of `/proc/PID/stat`, and inclusive of the kernel's work on the thread's behalf.
pub fn cpu_nanoseconds(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        sum += thread_nanoseconds(&task?.path()).unwrap_or(0);
    }
    Ok(sum)
}

/// A thread of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// At most 15 bytes of what the program called it.
    pub name: String,
    /// As in [`cpu_nanoseconds`].
    pub cpu_nanoseconds: u64,
    /// How far it stands back: 0 is usual, 19 the most.
    pub nice: i32,
}

/// The threads that are alive, in the order in which they began.
pub fn threads(pid: u32) -> io::Result<Vec<Thread>> {
    let mut threads = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let place = task?.path();
        let Some(cpu_nanoseconds) = thread_nanoseconds(&place) else { continue };
        let Ok(name) = fs::read_to_string(place.join("comm")) else { continue };
        let stat = fs::read_to_string(place.join("stat")).unwrap_or_default();
        let nice = stat_field(&stat, 19).and_then(|nice| nice.parse().ok()).unwrap_or(0);
        threads.push(Thread { name: name.trim_end().to_owned(), cpu_nanoseconds, nice });
    }
    Ok(threads)
}

/// `None` of a thread that ended since it was listed: it has no file any more.
fn thread_nanoseconds(place: &Path) -> Option<u64> {
    fs::read_to_string(place.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
}

/// Clock ticks in user and in system mode. Sampled: only long stretches say something.
pub fn cpu_ticks(pid: u32) -> io::Result<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let field = |index| stat_field(&stat, index).and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok((field(14), field(15)))
}

/// Clock ticks, user and system together, of the children that a process has waited for.
pub fn ended_children_ticks(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let field = |index| stat_field(&stat, index).and_then(|text| text.parse::<u64>().ok());
    Ok(field(16).unwrap_or(0) + field(17).unwrap_or(0))
}

/// The process and all that descend from it.
pub fn family(pid: u32) -> io::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(child) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{child}/stat")) else { continue };
        if let Some(parent) = stat_field(&stat, 4).and_then(|text| text.parse::<u32>().ok()) {
            parents.push((child, parent));
        }
    }
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    Ok(family)
}

/// Fields are counted from 1 as in proc(5); the second, the name, may hold spaces.
fn stat_field(stat: &str, index: usize) -> Option<&str> {
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_ascii_whitespace().nth(index.checked_sub(3)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(peak_resident_bytes(pid).unwrap() > 100_000);
        assert!(descriptors(pid).unwrap() >= 3);
        assert!(cpu_nanoseconds(pid).unwrap() > 0);
        assert_eq!(family(pid).unwrap()[0], pid);
    }

    #[test]
    fn tells_threads_apart_by_name() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let busy = std::thread::Builder::new().name("waits".to_owned());
        let thread = busy.spawn(move || receiver.recv().is_err()).unwrap();
        let named = loop {
            // Its name is set by the thread itself.
            let all = threads(std::process::id()).unwrap();
            if let Some(found) = all.into_iter().find(|thread| thread.name == "waits") {
                break found;
            }
            std::thread::yield_now();
        };
        drop(sender);
        assert!(thread.join().unwrap());
        assert!(named.cpu_nanoseconds <= cpu_nanoseconds(std::process::id()).unwrap());
    }

    #[test]
    fn a_name_with_spaces_shifts_no_field() {
        let stat = "7 (a b) c) S 3 7 7 0 -1 4194560 1 0 0 0 11 22 0";
        assert_eq!(stat_field(stat, 4), Some("3"));
        assert_eq!((stat_field(stat, 14), stat_field(stat, 15)), (Some("11"), Some("22")));
    }

    #[test]
    fn finds_children() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let family = family(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.contains(&child.id()));
    }
}
