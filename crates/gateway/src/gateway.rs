//! The running gateway: what is started in which order, and how it ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pailou_config::Settings;
use pailou_discovery::Discovery;
use pailou_filters::Shared;
use pailou_nacos::Client;
use pailou_proxy::{Bound, Certificates, Proxy, ProxyOptions, Serving};
use pailou_redis::Redis;
use pailou_routing::TableCell;
use pailou_telemetry::tasks::Tasks;
use pailou_telemetry::{AccessLog, Metrics, events};
use pailou_upstream::{Near, Services};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Instant;

use crate::admin::{self, Facts, Guard, Monitoring, Phase};
use crate::ports::Ports;
use crate::reload::Reloader;
use crate::sentinel::Follower;
use crate::signals::Orders;
use crate::{descriptors, listeners, nacos, signals};

/// Threads for the Nacos session, discovery, the admin interface and the probes.
const CONTROL_THREADS: usize = 2;

/// How long requests wait in the kernel's queue for the gateway to be ready. If Nacos answers, a start takes some
/// milliseconds, so that no client sees a 503 at a start.
const HOLD_BACK: Duration = Duration::from_secs(1);

/// Runs the gateway until SIGTERM or SIGINT. It returns once everything in flight is finished.
///
/// # Errors
/// It cannot get something that it needs: a port, a thread.
pub(crate) fn run(
    settings: &Settings,
    certificates: Certificates,
    metrics: Metrics,
    access_log: AccessLog,
    reloader: Arc<Reloader>,
) -> anyhow::Result<()> {
    let runtimes = Runtimes::new(settings)?;
    let result = runtimes.control.block_on(async {
        let stop = signals::stop();
        let mut tasks = Tasks::new(&metrics);
        // Signals are caught from now on, also while the task is started again.
        let orders = Arc::new(tokio::sync::Mutex::new(Orders::new()));
        tasks.keep("signals", move || {
            Arc::clone(&reloader).run(Arc::clone(&orders))
        });
        let (settings, data) = (settings.clone(), runtimes.data.handle());
        let ports = Ports::take(&settings, &certificates, data).await?;
        let gateway =
            Gateway::start(ports, settings, certificates, metrics, access_log, data).await?;
        gateway.run(stop).await
    });
    runtimes.end();
    result
}

/// Two runtimes: a burst of requests cannot starve the health check that keeps the Nacos connection, and a large push
/// cannot delay a request.
pub(crate) struct Runtimes {
    pub(crate) data: Runtime,
    pub(crate) control: Runtime,
}

impl Runtimes {
    /// One worker per core for requests, unless the settings say otherwise.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Runtimes> {
        let data = Builder::new_multi_thread()
            .worker_threads(workers(settings))
            .thread_name("pailou-worker")
            .enable_all()
            .build()
            .context("the workers cannot be started")?;
        let control = Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("pailou-control")
            .enable_all()
            .build()
            .context("the control threads cannot be started")?;
        Ok(Runtimes { data, control })
    }

    /// Ends both without waiting, since the tasks that still run have had their time.
    pub(crate) fn end(self) {
        self.data.shutdown_background();
        self.control.shutdown_background();
    }
}

fn workers(settings: &Settings) -> usize {
    match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

/// A gateway that has its ports.
pub(crate) struct Gateway {
    settings: Settings,
    facts: Arc<Facts>,
    serving: Arc<Serving>,
    metrics: Metrics,
    /// What runs until the gateway has ended.
    _tasks: Tasks,
}

impl Gateway {
    /// Starts to follow Nacos, and opens admin and probes. Requests are not accepted yet.
    pub(crate) async fn start(
        ports: Ports,
        mut settings: Settings,
        certificates: Certificates,
        metrics: Metrics,
        access_log: AccessLog,
        data: &Handle,
    ) -> anyhow::Result<Gateway> {
        if settings.scg.metrics {
            metrics.add_spring_names();
        }
        let mut options = ProxyOptions::load(&settings).map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!(faults.join("; "))
        })?;
        let mut addresses: Vec<_> = ports.data.iter().map(Bound::local_addr).collect();
        // After those for data, the first of which is advertised: whoever can register an instance must not reach these
        // through us either.
        for listener in [&ports.admin, &ports.probes].into_iter().flatten() {
            addresses.push(listener.local_addr()?);
        }
        descriptors::limit_connections(&mut settings);
        options.limits = settings.limits.clone();

        let near = settings.discovery.cluster.clone().map(|cluster| Near {
            cluster,
            min_percent: settings.discovery.cluster_min_percent,
        });
        let services = Services::preferring(near, settings.ejection.clone(), metrics.clone());
        let mut tasks = Tasks::new(&metrics);
        let supervised = services.clone();
        tasks.keep("ejection", move || supervised.clone().supervise());
        let table = TableCell::default();
        let client = Client::connect(nacos::options(&settings)?);
        let monitoring = Monitoring::new(client.clone(), &settings);
        let redis = Redis::new(&settings.redis, &metrics);
        if let Some(redis) = &redis {
            keep_redis(redis, data, &mut tasks);
        }
        let filters = Shared::new(metrics.clone()).counting_in(redis);
        let discovery = Discovery::start(
            &settings,
            &addresses,
            client.clone(),
            nacos::connector(&settings)?,
            services.clone(),
            table.clone(),
            filters,
        );
        let kept = discovery.kept_configs();
        if let Some(follower) = Follower::of(&settings, &client, &options.flow, kept, &metrics) {
            tasks.keep("flow rules", move || follower.clone().run());
        }

        options.credentials = Some(discovery.credentials().clone());
        let (cell, proxy_metrics) = (table.clone(), metrics.clone());
        let serving = data
            .spawn(
                async move { Proxy::serve(ports.data, options, cell, proxy_metrics, access_log) },
            )
            .await
            .context("the proxy could not be started")?;
        let serving = Arc::new(serving);
        let (asking, asked) = (serving.clone(), services.clone());
        tasks.keep("health checks", move || {
            let (asking, asked) = (asking.clone(), asked.clone());
            async move { asking.check(asked).await }
        });
        let watched = certificates.clone();
        tasks.keep("certificates", move || watched.clone().watch());

        let facts = Arc::new(Facts::new(
            discovery,
            services,
            certificates,
            table,
            metrics.clone(),
            serving.clone(),
        ));
        listeners::serve(
            "admin",
            ports.admin,
            admin::admin_router(
                facts.clone(),
                monitoring,
                Guard::new(settings.admin.address, &settings.admin.hosts),
            ),
            &mut tasks,
        );
        listeners::serve(
            "probes",
            ports.probes,
            admin::probes_router(facts.clone()),
            &mut tasks,
        );
        Ok(Gateway {
            settings,
            facts,
            serving,
            metrics,
            _tasks: tasks,
        })
    }

    /// Serves until `stop` comes, then ends in order.
    ///
    /// # Errors
    /// A second signal came before the shutdown was over.
    pub(crate) async fn run(self, stop: impl Future<Output = &'static str>) -> anyhow::Result<()> {
        tokio::pin!(stop);
        let signal = tokio::select! {
            never = self.start_serving() => match never {},
            signal = &mut stop => signal,
        };
        tracing::info!(signal, "shutting down");
        tokio::select! {
            () = self.shut_down() => Ok(()),
            signal = signals::stop() => anyhow::bail!("another signal ({signal}): the process ends at once, and requests in flight are cut"),
        }
    }

    /// Requests are accepted when the gateway is ready. If that takes long, they are answered with 503 meanwhile, so that a
    /// client can go elsewhere instead of waiting.
    async fn start_serving(&self) -> Infallible {
        let ready = self.facts.discovery().ready();
        tokio::pin!(ready);
        if tokio::time::timeout(HOLD_BACK, &mut ready).await.is_err() {
            self.serving.set_accepting(true);
            ready.await;
        }
        self.open();
        std::future::pending().await
    }

    fn open(&self) {
        self.serving.set_accepting(true);
        self.facts.enter(Phase::Serving);
        // The gateway may be ready with a reservation, such as a service that is still unknown.
        let reservation = self.facts.discovery().readiness().borrow().reason.clone();
        self.record_readiness(true, &reservation);
        self.facts.discovery().register();
    }

    async fn shut_down(&self) {
        let shutdown = &self.settings.shutdown;
        let deadline = Instant::now() + shutdown.deadline;
        let was_serving = self.facts.phase() == Phase::Serving;
        self.facts.enter(Phase::Draining);
        self.record_readiness(false, "shutting down");
        self.serving.begin_drain();
        self.step("deregister");
        self.facts.discovery().deregister().await;
        if was_serving {
            // Load balancers and clients that have not noticed yet still find open listeners.
            self.step("drain_delay");
            tokio::time::sleep(shutdown.drain_delay.min(shutdown.deadline)).await;
        }
        self.step("stop_accepting");
        self.serving.stop_accepting();
        self.step("finish_in_flight");
        if tokio::time::timeout_at(deadline, self.serving.idle())
            .await
            .is_err()
        {
            let in_flight = self.serving.abort();
            tracing::warn!(
                in_flight,
                "the deadline of the shutdown has passed: what is in flight is cut"
            );
        }
        self.step("end");
    }

    fn step(&self, phase: &'static str) {
        events::ShutdownPhase { phase }.record(&self.metrics);
    }

    fn record_readiness(&self, ready: bool, reason: &str) {
        events::ReadinessChanged { ready, reason }.record(&self.metrics);
    }
}

/// Keeps the connection to Redis on the workers' runtime: requests wait for its answers.
fn keep_redis(redis: &Redis, data: &Handle, tasks: &mut Tasks) {
    let (redis, data) = (redis.clone(), data.clone());
    tasks.keep("redis", move || {
        let running = data.spawn(redis.clone().run());
        async move { running.await.unwrap_or_else(|error| error.to_string()) }
    });
}
