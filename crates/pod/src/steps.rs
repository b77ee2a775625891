//! The durable steps of a pod, and the hook by which a test ends the process after one of them.

use std::fmt;
use std::sync::Arc;

/// A point at which something new is on disk, or on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// An order is on disk, with the voucher beside it.
    Admitted,
    /// A charge is on disk, with its receipt and its slip.
    Charged,
    /// A claim was sent to the chain.
    Claimed,
    /// A new offer is on disk.
    Offered,
    /// The registration is on the chain.
    Registered,
    /// A reservation was given back.
    Released,
    /// The slips were exported.
    SlipsExported,
}

/// Called after each durable step, before its effect is seen outside.
///
/// Nothing but a test sets one: by ending the process there it shows that a pod can be killed between any
/// two steps. There is no configuration and no environment variable for it.
pub type StepHook = Arc<dyn Fn(Step) + Send + Sync>;

/// The hook, or none.
#[derive(Clone, Default)]
pub(crate) struct Steps(Option<StepHook>);

impl Steps {
    pub(crate) fn new(hook: Option<StepHook>) -> Steps {
        Steps(hook)
    }

    pub(crate) fn done(&self, step: Step) {
        if let Some(hook) = &self.0 {
            hook(step);
        }
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Steps({})", if self.0.is_some() { "watched" } else { "unwatched" })
    }
}
