//! Which set-ups are equal.

/// Identifies equal set-ups without keeping their secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

/// Collects the parts of a set-up into a [`Key`]. Each part is prefixed with its length, so that parts can't run into
/// each other.
pub(crate) struct Fingerprint(ring::digest::Context);

impl Fingerprint {
    pub(crate) fn new(kind: &str) -> Self {
        let mut fingerprint = Self(ring::digest::Context::new(&ring::digest::SHA256));
        fingerprint.add(kind);
        fingerprint
    }

    pub(crate) fn add(&mut self, part: &str) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part.as_bytes());
    }

    pub(crate) fn key(self) -> Key {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        Key(bytes)
    }
}
