//! The gateway's own instance in Nacos: the console shows which gateway runs which table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pailou_config::{RegistrationSettings, ServerAddress};
use pailou_nacos::{Client, Instance, Registration, ServiceName};
use pailou_telemetry::{Metrics, events};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::metadata::{self, Applied};
use crate::view::RegistrationView;

/// The shortest time between two updates: each of them is pushed to whoever watches the service.
const UPDATE_PAUSE: Duration = Duration::from_secs(5);
/// How often the state is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long deregistering may take. Without Nacos the instance leaves with the connection anyway.
const FAREWELL: Duration = Duration::from_millis(900);

/// What is needed to register.
#[derive(Clone)]
pub(crate) struct Registrar {
    pub(crate) client: Client,
    pub(crate) settings: RegistrationSettings,
    /// Where the way to Nacos leads, to find the own address by.
    pub(crate) servers: Vec<ServerAddress>,
    pub(crate) service: ServiceName,
    /// The port to advertise.
    pub(crate) port: u16,
    pub(crate) version: &'static str,
    pub(crate) metrics: Metrics,
    pub(crate) view: Arc<Mutex<RegistrationView>>,
}

/// What was sent, and what was said of it.
struct Sent {
    registration: Registration,
    instance: Instance,
    at: Instant,
    was_registered: bool,
    last_error: Option<String>,
}

impl Registrar {
    /// Keeps the gateway registered, with metadata that follow `applied`, until `leave` turns true; then
    /// deregisters, within a second.
    pub(crate) async fn run(self, applied: impl Fn() -> Applied, mut leave: watch::Receiver<bool>) {
        let mut sent = None;
        tokio::select! {
            () = self.keep(&mut sent, &applied) => {}
            // An owner that is gone means the same as its wish to leave.
            _ = leave.wait_for(|leave| *leave) => {}
        }
        self.leave(sent).await;
    }

    /// Registers and updates. Never returns.
    async fn keep(&self, sent: &mut Option<Sent>, applied: &impl Fn() -> Applied) {
        let ip = self.own_ip().await;
        let address = SocketAddr::new(ip, self.port).to_string();
        self.view().address = Some(address.clone());
        loop {
            let (metadata, left_out) =
                metadata::compose(self.version, &applied(), &self.settings.metadata);
            if self.view().left_out != left_out {
                tracing::warn!(target: "pailou", keys = ?left_out, "metadata of the registration is left out for want of room");
                self.view().left_out = left_out;
            }
            let instance = Instance {
                weight: self.settings.weight,
                metadata,
                ..Instance::new(ip.to_string(), self.port)
            };
            if let Err(error) = self.send(sent, instance) {
                self.failed(&error.to_string());
            }
            if let Some(sent) = sent {
                self.observe(sent, &address);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Registers the instance, or replaces it if it differs and the last one has stood long enough.
    fn send(&self, sent: &mut Option<Sent>, instance: Instance) -> Result<(), pailou_nacos::Error> {
        if let Some(sent) = sent {
            if sent.instance != instance && sent.at.elapsed() >= UPDATE_PAUSE {
                sent.registration.update_later(instance.clone())?;
                sent.instance = instance;
                sent.at = Instant::now();
            }
            return Ok(());
        }
        let registration = self
            .client
            .keep_registered(&self.service, instance.clone())?;
        *sent = Some(Sent {
            registration,
            instance,
            at: Instant::now(),
            was_registered: false,
            last_error: None,
        });
        Ok(())
    }

    /// Shows and reports what the server says of the registration.
    fn observe(&self, sent: &mut Sent, address: &str) {
        let is_registered = sent.registration.is_registered();
        let error = sent
            .registration
            .last_error()
            .map(|error| error.to_string());
        if is_registered && !sent.was_registered {
            events::Registered {
                service: &self.service.to_string(),
                address,
            }
            .record(&self.metrics);
            sent.was_registered = true;
        }
        if error != sent.last_error {
            if let Some(error) = &error {
                self.failed(error);
            }
            sent.last_error.clone_from(&error);
        }
        let mut view = self.view();
        view.registered = is_registered;
        view.metadata.clone_from(&sent.instance.metadata);
        view.error = error;
    }

    fn failed(&self, error: &str) {
        events::RegistrationFailed {
            service: &self.service.to_string(),
            error,
        }
        .record(&self.metrics);
        self.view().error = Some(error.to_owned());
    }

    async fn leave(&self, sent: Option<Sent>) {
        if let Some(sent) = sent {
            match tokio::time::timeout(FAREWELL, sent.registration.deregister()).await {
                Ok(Ok(())) => {
                    tracing::info!(target: "pailou", service = %self.service, "the gateway deregistered itself");
                }
                Ok(Err(error)) => self.failed(&error.to_string()),
                Err(_) => {
                    self.failed("deregistering timed out; the instance leaves with the connection")
                }
            }
        }
        self.view().registered = false;
    }

    /// The address to advertise: as configured, or the local address of the way to Nacos.
    async fn own_ip(&self) -> IpAddr {
        if let Some(ip) = self.settings.ip {
            return ip;
        }
        loop {
            for server in &self.servers {
                match local_ip(server).await {
                    Ok(ip) => return ip,
                    Err(error) => {
                        self.view().error = Some(format!(
                            "no own address found on the way to {server}: {error}"
                        ));
                    }
                }
            }
            tokio::time::sleep(UPDATE_PAUSE).await;
        }
    }

    fn view(&self) -> MutexGuard<'_, RegistrationView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The local address that packets to a server leave from. Nothing is sent: "connecting" a datagram socket
/// only asks the routing table.
async fn local_ip(server: &ServerAddress) -> std::io::Result<IpAddr> {
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for remote in tokio::net::lookup_host((&*server.host, server.port)).await? {
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await?;
        match socket.connect(remote).await {
            Ok(()) => return Ok(socket.local_addr()?.ip().to_canonical()),
            Err(error) => last = error,
        }
    }
    Err(last)
}
