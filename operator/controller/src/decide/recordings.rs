//! Recordings of what policies' autoscalers were told: one file a policy, a call a line, bounded. No Secret is in them: an
//! autoscaler is told readings, not how they are asked for.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use autoscaler::{Call, Sink};
use health::snapshot::PolicyKey;

/// What is recorded, and where.
#[derive(Clone, Debug)]
pub struct Recordings {
    /// The folder.
    pub folder: PathBuf,
    /// Policies as `namespace/name`; all where empty.
    pub policies: Vec<String>,
    /// Bytes of one file. A full one is kept as `.1.jsonl` in place of the one before, and a new one begins.
    pub limit: u64,
}

impl Recordings {
    /// Where the calls of a policy go, where it is to be recorded.
    pub(crate) fn sink(&self, key: &PolicyKey) -> Option<Box<dyn Sink>> {
        let name = key.to_string();
        if !self.policies.is_empty() && !self.policies.contains(&name) {
            return None;
        }
        match RecordingFile::open(self, key) {
            Ok(file) => Some(Box::new(file)),
            Err(error) => {
                tracing::warn!(policy = name, %error, folder = %self.folder.display(), "can't record");
                None
            }
        }
    }
}

/// One policy's file.
struct RecordingFile {
    /// `None` once it can't be written any more.
    file: Option<BufWriter<File>>,
    policy: String,
    written: u64,
    limit: u64,
}

impl RecordingFile {
    fn open(recordings: &Recordings, key: &PolicyKey) -> std::io::Result<Self> {
        std::fs::create_dir_all(&recordings.folder)?;
        let path = |end: &str| recordings.folder.join(format!("{}.{}{end}", key.namespace, key.name));
        let current = path(".jsonl");
        let known = std::fs::metadata(&current).map_or(0, |m| m.len());
        // What is there was recorded before a restart, and goes on; a full one makes room.
        if known >= recordings.limit {
            std::fs::rename(&current, path(".1.jsonl"))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&current)?;
        let written = file.metadata()?.len();
        Ok(Self {
            file: Some(BufWriter::new(file)),
            policy: key.to_string(),
            written,
            limit: recordings.limit,
        })
    }

    fn append(&mut self, call: &Call) -> std::io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut line = serde_json::to_vec(call)?;
        line.push(b'\n');
        file.write_all(&line)?;
        self.written += line.len() as u64;
        // A decision that isn't on the disk when the process is killed would be missing from what it led to.
        if matches!(call, Call::Stepped { .. } | Call::Applied { .. }) {
            file.flush()?;
        }
        Ok(())
    }
}

impl Sink for RecordingFile {
    fn write(&mut self, call: &Call) {
        if let Err(error) = self.append(call) {
            tracing::warn!(policy = self.policy, %error, "can't record any longer");
            self.file = None;
        }
    }

    fn is_full(&self) -> bool {
        self.file.is_some() && self.written >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_full_file_makes_room_and_one_that_is_not_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let recordings = Recordings {
            folder: folder.path().to_owned(),
            policies: vec!["shop/web".to_owned()],
            limit: 300,
        };
        let key = PolicyKey::new("shop".to_owned(), "web".to_owned());
        assert!(recordings.sink(&PolicyKey::new("shop".to_owned(), "other".to_owned())).is_none());
        let call = Call::Applied { now: Timestamp::UNIX_EPOCH, applied: autoscaler::Applied::Unknown };
        let lines = |name: &str| {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
            text.lines().count()
        };
        recordings.sink(&key).unwrap().write(&call);
        assert_eq!(lines("shop.web.jsonl"), 1);
        let mut sink = recordings.sink(&key).unwrap();
        while !sink.is_full() {
            sink.write(&call);
        }
        drop(sink);
        let full = lines("shop.web.jsonl");
        recordings.sink(&key).unwrap().write(&call);
        assert_eq!((lines("shop.web.1.jsonl"), lines("shop.web.jsonl")), (full, 1));
    }
}
