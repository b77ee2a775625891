//! Honest bytes of which a piece is replaced: such come far into a reader before it refuses them.

/// Replaces `cut` bytes at `at` by others, as far as there are so many.
pub(crate) fn splice(honest: &[u8], at: u16, cut: u16, bytes: &[u8]) -> Vec<u8> {
    let at = usize::from(at) % (honest.len() + 1);
    let end = (at + usize::from(cut)).min(honest.len());
    [&honest[..at], bytes, &honest[end..]].concat()
}
