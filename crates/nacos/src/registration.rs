//! An own instance that the client keeps registered.

use std::{fmt, sync::Arc};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    client::Handle,
    desired::RegistrationSlot,
    error::Error,
    model::{Instance, ServiceName},
};

/// An own instance that the client keeps registered: after each reconnect it registers it again at once.
///
/// Dropping it deregisters in the background; [`Registration::deregister`] waits for the server. An instance also
/// leaves when the process dies: over gRPC it lives as long as its connection, and over HTTP as long as its beats.
pub struct Registration {
    handle: Arc<Handle>,
    name: ServiceName,
    cell: watch::Receiver<RegistrationSlot>,
    version: u64,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registration").field(&self.name).finish()
    }
}

impl Registration {
    pub(crate) fn new(
        handle: Arc<Handle>,
        name: ServiceName,
        instance: Instance,
    ) -> Result<Self, Error> {
        let instance = checked(instance)?;
        if name.name.is_empty() {
            return Err(Error::Invalid("a service needs a name"));
        }
        if handle.core.is_closing() {
            return Err(Error::Closed);
        }
        let (version, cell) = handle.core.desired.register(&name, instance)?;
        Ok(Self {
            handle,
            name,
            cell,
            version,
        })
    }

    /// The service.
    pub fn service(&self) -> &ServiceName {
        &self.name
    }

    /// Whether the server has confirmed the newest version of the instance on the present connection.
    pub fn is_registered(&self) -> bool {
        self.cell.borrow().confirmed == Some(self.version)
    }

    /// Why the server refused the newest version of the instance; the client tries again with a growing pause.
    pub fn last_error(&self) -> Option<Error> {
        let slot = self.cell.borrow();
        slot.refused
            .as_ref()
            .filter(|(version, _)| *version == self.version)
            .map(|(_, error)| error.clone())
    }

    /// Replaces the whole instance (weight, metadata and so on) and waits until the server has confirmed it. The
    /// address may change too: the server drops the old one.
    ///
    /// # Errors
    /// When the instance cannot be sent, or the server refuses it or does not confirm it within the request timeout.
    /// In the latter two cases the client goes on trying.
    pub async fn update(&mut self, instance: Instance) -> Result<(), Error> {
        self.update_later(instance)?;
        self.confirmed().await
    }

    /// Replaces the whole instance like [`Registration::update`], without waiting. The newest one wins.
    ///
    /// # Errors
    /// When the instance cannot be sent.
    pub fn update_later(&mut self, instance: Instance) -> Result<(), Error> {
        let instance = checked(instance)?;
        self.version = self
            .handle
            .core
            .desired
            .update(&self.name, &self.cell, instance)
            .ok_or(Error::Closed)?;
        Ok(())
    }

    /// Waits until the server has confirmed the newest version, for at most the request timeout.
    ///
    /// # Errors
    /// When the server refuses it or does not confirm it in time; the client goes on trying.
    pub async fn confirmed(&mut self) -> Result<(), Error> {
        let version = self.version;
        let deadline = Instant::now() + self.handle.core.options.request_timeout;
        let settled = self.cell.wait_for(|slot| {
            slot.is_gone
                || slot.confirmed == Some(version)
                || slot.refused.as_ref().is_some_and(|(of, _)| *of == version)
        });
        match timeout_at(deadline, settled).await {
            Ok(Ok(slot)) if slot.confirmed == Some(version) => Ok(()),
            Ok(Ok(slot)) => match &slot.refused {
                Some((_, error)) if !slot.is_gone => Err(error.clone()),
                _ => Err(Error::Closed),
            },
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => Err(self.handle.core.late("InstanceRequest")),
        }
    }

    /// Deregisters and waits until the server has confirmed it. Without a connection there is nothing to do: the
    /// server drops the instance with the connection, or for want of beats.
    ///
    /// # Errors
    /// When the server does not confirm it within the request timeout. The instance leaves with the connection, or for
    /// want of beats, then.
    pub async fn deregister(mut self) -> Result<(), Error> {
        self.handle.core.desired.leave(&self.name, &self.cell);
        let deadline = Instant::now() + self.handle.core.options.request_timeout;
        match timeout_at(deadline, self.cell.wait_for(|slot| slot.is_gone)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.handle.core.late("InstanceRequest")),
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.handle.core.desired.leave(&self.name, &self.cell);
    }
}

fn checked(instance: Instance) -> Result<Instance, Error> {
    if instance.ip.is_empty() {
        return Err(Error::Invalid("an instance needs an address"));
    }
    if instance.port == 0 {
        return Err(Error::Invalid("an instance needs a port"));
    }
    if !(instance.weight.is_finite() && instance.weight >= 0.0) {
        return Err(Error::Invalid(
            "an instance's weight must be a number from 0 up",
        ));
    }
    if !instance.ephemeral {
        return Err(Error::Invalid("only ephemeral instances can be registered"));
    }
    Ok(instance)
}
