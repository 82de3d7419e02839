//! A directory of letters, one `.eml` each: for development, and for whatever picks them up there.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

#[derive(Debug)]
pub(super) struct Directory {
    path: Arc<Path>,
}

impl Directory {
    /// Makes the directory, for its owner alone: letters hold names and addresses.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self { path: path.into() })
    }

    /// Files a letter under its id. Whoever reads the directory sees it whole or not at all, and
    /// once, however often it is filed.
    pub(super) async fn file(&self, id: Uuid, letter: Vec<u8>) -> io::Result<()> {
        let path = Arc::clone(&self.path);
        let written = tokio::task::spawn_blocking(move || write(&path, id, &letter));
        written.await.map_err(io::Error::other)?
    }
}

fn write(directory: &Path, id: Uuid, letter: &[u8]) -> io::Result<()> {
    // A name of its own for each try: two processes may be at the same letter.
    let draft = directory.join(format!(".{id}.{}.draft", Uuid::new_v4()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let filed = options
        .open(&draft)
        .and_then(|mut file| file.write_all(letter).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&draft, directory.join(format!("{id}.eml"))));
    if filed.is_err() {
        // What is left of it; that it was never there is as good.
        drop(fs::remove_file(&draft));
    }
    filed
}
