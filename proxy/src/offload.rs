//! Work that takes too long for a worker, such as checking a password: a few threads of their own,
//! and a queue with a bound. Knows nothing of the work.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Jobs that wait. A check of a password takes about 0.1 s: who came last waits for seconds.
const QUEUE: usize = 64;
/// How long a job is waited for, in the queue and on its thread.
const PATIENCE: Duration = Duration::from_secs(5);

/// As `nice` counts: about a tenth of a worker's share where both want one core.
const NICE: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// The way to the threads, shared by all workers. They end when the last one is dropped.
#[derive(Clone)]
pub struct Offload {
    queue: SyncSender<Job>,
}

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OffloadError {
    #[error("too much work waits already")]
    Full,
    #[error("the work took too long")]
    Late,
    /// It panicked, or the process ends.
    #[error("the work was broken off")]
    Broken,
}

impl Offload {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for index in 0..threads.max(1) {
            let jobs = Arc::clone(&jobs);
            let thread = std::thread::Builder::new().name(format!("offload-{index}"));
            thread.spawn(move || run(&jobs))?;
        }
        Ok(Self { queue })
    }

    /// Runs `work` on one of the threads.
    ///
    /// # Errors
    /// When there is no result within 5 s, or no room to wait for one.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OffloadError> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            // The one who asked may have gone while the job was queued.
            if !done.is_closed() {
                let _ = done.send(work());
            }
        });
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => OffloadError::Full,
            TrySendError::Disconnected(_) => OffloadError::Broken,
        })?;
        match timeout(PATIENCE, result).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(OffloadError::Broken),
            Err(_) => Err(OffloadError::Late),
        }
    }
}

fn run(jobs: &Mutex<Receiver<Job>>) {
    // Workers go first. Where this fails, the work has the priority of requests.
    let _ = rustix::process::setpriority_process(None, NICE);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A panic ends the job; its answer is `Broken`, and the thread goes on.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::sync::mpsc::channel;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn work_is_done_elsewhere_and_a_panic_costs_its_own_answer_alone() {
        let offload = Offload::start(1).unwrap();
        let here = std::thread::current().id();
        let there = offload.run(|| std::thread::current().id()).await.unwrap();
        assert_ne!(here, there);
        let broken = offload.run(|| panic!("a test asks for a panic")).await;
        assert_eq!(broken, Err::<(), _>(OffloadError::Broken));
        assert_eq!(offload.run(|| 1).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_has_an_end_and_waiting_too() {
        let offload = Offload::start(1).unwrap();
        let (release, held) = channel::<()>();
        let (begun, has_begun) = channel::<()>();
        let first = offload.run(move || {
            begun.send(()).unwrap();
            let _ = held.recv();
        });
        let mut first = Box::pin(first);
        assert!(is_pending(&mut first).await);
        has_begun.recv().unwrap();
        let mut waiting: Vec<_> = (0..QUEUE).map(|_| Box::pin(offload.run(|| ()))).collect();
        for one in &mut waiting {
            assert!(is_pending(one).await);
        }
        assert_eq!(offload.run(|| ()).await, Err(OffloadError::Full));
        assert_eq!(first.await, Err(OffloadError::Late));
        release.send(()).unwrap();
    }

    async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
    }
}
