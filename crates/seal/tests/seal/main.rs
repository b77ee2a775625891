//! Both sides of the seal against each other, against an observer, against another implementation,
//! and against bytes that nobody sealed.

mod answers;
mod foreign;
mod garbage;
mod hostile;
mod observer;
mod pair;
mod requests;
