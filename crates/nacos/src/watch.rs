//! Handles on what the client keeps in step with the server.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

use crate::{
    client::Handle,
    desired::{ConfigSlot, ServiceSlot},
    error::Error,
    model::{ConfigName, ConfigState, ServiceName, ServiceState},
};

/// A watched service: always the newest state that the server reported.
///
/// States are whole, and only the newest is kept, so a slow reader skips states and never lags behind. A lost connection
/// or a failed request changes no state; see [`ServiceWatch::last_error`] and the state's age. The client unsubscribes
/// when the last watch of a service is dropped.
#[derive(Clone)]
pub struct ServiceWatch {
    cell: watch::Receiver<ServiceSlot>,
    interest: Arc<ServiceInterest>,
}

struct ServiceInterest {
    handle: Arc<Handle>,
    name: ServiceName,
}

impl Drop for ServiceInterest {
    fn drop(&mut self) {
        self.handle.core.desired.unwatch_service(&self.name);
    }
}

impl fmt::Debug for ServiceWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceWatch").field(self.name()).finish()
    }
}

impl ServiceWatch {
    pub(crate) fn new(handle: Arc<Handle>, name: ServiceName) -> Self {
        let mut cell = handle.core.desired.watch_service(&name);
        if cell.borrow().state.is_some() {
            cell.mark_changed();
        }
        Self {
            cell,
            interest: Arc::new(ServiceInterest { handle, name }),
        }
    }

    /// The service.
    pub fn name(&self) -> &ServiceName {
        &self.interest.name
    }

    /// The newest state; `None` until the server has answered for the first time.
    pub fn current(&self) -> Option<Arc<ServiceState>> {
        self.cell.borrow().state.clone()
    }

    /// Why the latest attempt to refresh the state failed; `None` after a success.
    pub fn last_error(&self) -> Option<Error> {
        self.cell.borrow().error.clone()
    }

    /// Waits for a state that this handle has not returned here yet; the first one counts. A state with the same
    /// content from a new connection is returned too. Waits forever once the client is closed. Cancel safe.
    pub async fn changed(&mut self) -> Arc<ServiceState> {
        loop {
            next(&mut self.cell).await;
            if let Some(state) = self.cell.borrow_and_update().state.clone() {
                return state;
            }
        }
    }
}

/// A watched config: always the newest state that the server reported, its absence included.
///
/// The config need not exist: its first publish arrives like any other, and so does its removal. A lost connection or
/// a failed request changes no state. The client stops listening when the last watch of a config is dropped.
#[derive(Clone)]
pub struct ConfigWatch {
    cell: watch::Receiver<ConfigSlot>,
    interest: Arc<ConfigInterest>,
}

struct ConfigInterest {
    handle: Arc<Handle>,
    name: ConfigName,
}

impl Drop for ConfigInterest {
    fn drop(&mut self) {
        self.handle.core.desired.unwatch_config(&self.name);
    }
}

impl fmt::Debug for ConfigWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConfigWatch").field(self.name()).finish()
    }
}

impl ConfigWatch {
    pub(crate) fn new(handle: Arc<Handle>, name: ConfigName) -> Self {
        let mut cell = handle.core.desired.watch_config(&name);
        if cell.borrow().state.is_some() {
            cell.mark_changed();
        }
        Self {
            cell,
            interest: Arc::new(ConfigInterest { handle, name }),
        }
    }

    /// The config.
    pub fn name(&self) -> &ConfigName {
        &self.interest.name
    }

    /// The newest state; `None` until the server has answered for the first time.
    pub fn current(&self) -> Option<ConfigState> {
        self.cell.borrow().state.clone()
    }

    /// Why the latest attempt to refresh the state failed; `None` after a success.
    pub fn last_error(&self) -> Option<Error> {
        self.cell.borrow().error.clone()
    }

    /// Waits for a state that this handle has not returned here yet; the first one counts. Unlike a service's, a
    /// state that a new connection only confirms is not returned again. Waits forever once the client is closed.
    /// Cancel safe.
    pub async fn changed(&mut self) -> ConfigState {
        loop {
            next(&mut self.cell).await;
            if let Some(state) = self.cell.borrow_and_update().state.clone() {
                return state;
            }
        }
    }
}

/// Waits for the cell's next news. The cell outlives its watches; should it not, there is no more news.
async fn next<T>(cell: &mut watch::Receiver<T>) {
    if cell.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
