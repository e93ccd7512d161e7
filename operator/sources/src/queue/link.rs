//! One connection that many policies share: made by whoever needs it first, forgotten when it breaks.

use std::future::Future;

use series::Absence;
use tokio::sync::Mutex;

/// Holds at most one `C`. While it is being made, others wait for it instead of making their own.
pub(super) struct Link<C> {
    current: Mutex<Option<C>>,
}

impl<C> Default for Link<C> {
    fn default() -> Self {
        Self { current: Mutex::new(None) }
    }
}

impl<C: Clone> Link<C> {
    /// The connection, made by `connect` where there is none or `usable` turns it down.
    pub(super) async fn get(
        &self,
        usable: impl FnOnce(&C) -> bool,
        connect: impl Future<Output = Result<C, Absence>>,
    ) -> Result<C, Absence> {
        let mut current = self.current.lock().await;
        if let Some(connection) = current.as_ref().filter(|c| usable(c)) {
            return Ok(connection.clone());
        }
        *current = None;
        let made = connect.await?;
        *current = Some(made.clone());
        Ok(made)
    }

    /// Forgets the connection; the next one who needs it makes a new one.
    pub(super) async fn forget(&self) {
        *self.current.lock().await = None;
    }
}
