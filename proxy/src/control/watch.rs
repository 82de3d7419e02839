//! Which files changed: the configuration, and the certificates that it names.
//!
//! Folders are watched, not files: an editor replaces a file by renaming another one over it, and
//! Kubernetes swaps a symlink beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::RecursiveMode;
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::sync::mpsc;

/// Changes within this time are one change.
const SETTLE: Duration = Duration::from_millis(200);

pub struct Watcher {
    changed: mpsc::Sender<()>,
    debouncer: Debouncer<notify::RecommendedWatcher, RecommendedCache>,
    watched: BTreeSet<PathBuf>,
}

impl Watcher {
    /// `changed` gets one message, whatever the number of changes that wait to be noticed.
    pub fn new(changed: mpsc::Sender<()>) -> Result<Self, notify::Error> {
        let sender = changed.clone();
        let debouncer = new_debouncer(SETTLE, None, move |events: DebounceEventResult| {
            let matters = match events {
                Ok(events) => events.iter().any(|event| !event.kind.is_access()),
                // Events were lost, and any file may have changed.
                Err(_) => true,
            };
            if matters {
                // The channel is full: a message waits already.
                let _ = sender.try_send(());
            }
        })?;
        Ok(Self { changed, debouncer, watched: BTreeSet::new() })
    }

    /// Watches the folders of exactly these files. Changes before a folder is watched are not
    /// reported.
    pub fn follow<'a>(&mut self, files: impl IntoIterator<Item = &'a Path>) {
        let wanted: BTreeSet<PathBuf> = files.into_iter().flat_map(folders).collect();
        for gone in self.watched.difference(&wanted) {
            // A removed folder is no longer watched.
            let _ = self.debouncer.unwatch(gone);
        }
        for new in wanted.difference(&self.watched) {
            if let Err(error) = self.debouncer.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %new.display(), %error, "changes here are noticed late");
            }
            let _ = self.changed.try_send(());
        }
        self.watched = wanted;
    }
}

/// The folder of a file as it is named, and as its links resolve.
fn folders(file: &Path) -> Vec<PathBuf> {
    if file.is_dir() {
        return vec![file.to_owned()];
    }
    let named = file.parent().map(Path::to_owned);
    let resolved = file.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned));
    named.into_iter().chain(resolved).filter(|folder| !folder.as_os_str().is_empty()).collect()
}
