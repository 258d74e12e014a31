//! The loop that drives Log: one write and one fdatasync for all that waits.

use super::fail::{Fatal, Which};
use super::inbox::Inbox;
use member::core::Input;
use member::ids::Index;
use member::limits;
use member::log::Log;
use raft::Append;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// Work for Log.
#[derive(Debug)]
pub enum LogJob {
    /// Write these, then say so.
    Append(Vec<Append>),
    /// Entries up to here may be forgotten.
    Release(Index),
}

/// Runs until Core has gone.
pub fn drive(mut log: Log<disk::OsDisk>, jobs: Receiver<LogJob>, inbox: Arc<Inbox>, fatal: Fatal) {
    let mut batch: Vec<Append> = Vec::new();
    let mut next = None;
    while let Some(job) = next.take().or_else(|| jobs.recv().ok()) {
        let mut release = None;
        let mut bytes = take(job, &mut batch, &mut release);
        while bytes < limits::LOG_BATCH_BYTES_MAX
            && let Ok(more) = jobs.try_recv()
        {
            bytes += take(more, &mut batch, &mut release);
        }
        let started = Instant::now();
        let written = fatal.retry_while_full(Which::WriteAhead, || log.append(&batch));
        next = jobs.try_recv().ok();
        match written {
            // The next batch does not wait for Core; an idle log runs it.
            Ok(Some(mark)) if next.is_none() => inbox.number(Input::Appended(mark)),
            Ok(Some(mark)) => inbox.number_in_passing(Input::Appended(mark)),
            Ok(None) => {}
            Err(fault) => return fatal.stop(&fault),
        }
        if !batch.is_empty() {
            crate::metrics::wal_synced(started.elapsed(), log.stats());
        }
        batch.clear();
        if let Some(index) = release
            && let Err(fault) = log.release(index)
        {
            return fatal.stop(&fault);
        }
    }
    if let Err(fault) = log.close() {
        tracing::warn!(error = %fault, "the write-ahead log was not closed in order; nothing is lost");
    }
}

fn take(job: LogJob, batch: &mut Vec<Append>, release: &mut Option<Index>) -> usize {
    match job {
        LogJob::Append(appends) => {
            let entries = appends.iter().flat_map(|append| &append.entries);
            let bytes = entries.map(|entry| entry.data.len() + 64).sum();
            batch.extend(appends);
            bytes
        }
        LogJob::Release(index) => {
            *release = Some(index);
            0
        }
    }
}
