//! "It is on disk", as a type.

use std::ops::Deref;

/// A value whose write was committed. Only this crate makes one, after the commit.
#[derive(Debug, PartialEq, Eq)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    pub(crate) fn committed(value: T) -> Durable<T> {
        Durable(value)
    }

    /// The value, which is then no more than a value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Durable<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
