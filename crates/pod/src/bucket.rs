//! A bound on how often something dear is done.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// A token bucket: `burst` at once, then one every `every`.
#[derive(Debug)]
pub(crate) struct Bucket {
    burst: u32,
    every: Duration,
    /// The moment at which the bucket would have been empty, had it never been full.
    drained: Mutex<Instant>,
}

impl Bucket {
    pub(crate) fn new(burst: u32, every: Duration) -> Bucket {
        Bucket { burst, every, drained: Mutex::new(Instant::now() - every * burst) }
    }

    /// Takes a token, or says how long to wait for the next.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        let now = Instant::now();
        let mut drained = self.drained.lock().expect("no holder of this lock panics");
        let full = now.checked_sub(self.every * self.burst).unwrap_or(now);
        let from = (*drained).max(full);
        let next = from + self.every;
        if next > now {
            return Err(next - now);
        }
        *drained = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_granted_and_then_one_an_interval() {
        let every = Duration::from_secs(10);
        let bucket = Bucket::new(2, every);
        assert_eq!(bucket.take(), Ok(()));
        assert_eq!(bucket.take(), Ok(()));
        assert_eq!(bucket.take(), Err(every));
        tokio::time::advance(every).await;
        assert_eq!(bucket.take(), Ok(()));
        assert!(bucket.take().is_err());
    }
}
