//! Pushes: who is told what, how late, and whether they say that they heard.

use std::time::Duration;

use pailou_nacos::wire::{
    ConfigChangeNotifyRequest, ConnectResetRequest, Message, NotifySubscriberRequest, Payload,
    Push, ServiceInfo,
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{How, Nacos, State};
use crate::schedule::LATEST_PUSH;

/// A connection that sent no request for so long is dropped, whatever it acknowledges.
const SILENCE: Duration = Duration::from_secs(23);

/// A push over a sound connection must be acknowledged within this time, and a wish that it ends obeyed.
const ACKNOWLEDGED: Duration = Duration::from_secs(1);

enum News {
    Service(ServiceInfo, u64),
    Config,
}

impl Nacos {
    /// Sends something to all connections of a server at once.
    pub(super) fn send<P: Push>(&self, server: usize, make: impl Fn(String) -> P) {
        let mut state = self.state();
        let ids: Vec<u64> = state.connections.keys().copied().collect();
        for id in ids {
            if state.connections[&id].server == server {
                state.push(id, &make);
            }
        }
    }

    /// Something changed: who wants to know is told after a while, once for all changes of that time.
    pub(crate) fn changed(&self, name: &str) {
        let ids: Vec<u64> = self.state().connections.keys().copied().collect();
        for id in ids {
            self.tell(id, name);
        }
    }

    /// Tells a connection what there is to a service, or that a config changed, if it wants to know.
    pub(crate) fn tell(&self, id: u64, name: &str) {
        let mut state = self.state();
        let pause = Duration::from_millis(state.dice.u64(10..500));
        let Some(connection) = state.connections.get_mut(&id) else {
            return;
        };
        if connection.wants(name) && connection.pending.insert(name.to_owned()) {
            let (nacos, name) = (self.clone(), name.to_owned());
            tokio::spawn(async move {
                sleep(pause).await;
                nacos.wait_out_hang(id).await;
                nacos.tell_now(id, &name).await;
            });
        }
    }

    async fn wait_out_hang(&self, id: u64) {
        let until = {
            let state = self.state();
            let connection = state.connections.get(&id);
            connection.map(|connection| state.servers[connection.server].hangs_until)
        };
        if let Some(until) = until {
            sleep_until(until).await;
        }
    }

    async fn tell_now(&self, id: u64, name: &str) {
        let (push, how_often, late) = {
            let mut state = self.state();
            let Some(connection) = state.connections.get_mut(&id) else {
                return;
            };
            connection.pending.remove(name);
            if !connection.wants(name) {
                return;
            }
            let server = connection.server;
            let push = state.news(server, name);
            let (lost, twice, late, until) = state.servers[server].pushes;
            let is_troubled = Instant::now() < until;
            let mut dice = |percent: u32| state.dice.u32(..100) < percent && is_troubled;
            let how_often = if dice(lost) {
                0
            } else {
                1 + u32::from(dice(twice))
            };
            let is_late = dice(late);
            let most = u64::try_from(LATEST_PUSH.as_millis()).unwrap();
            let late = if is_late { state.dice.u64(..most) } else { 0 };
            if how_often != 1 || late > 0 {
                state.note(|| format!("push of {name} to {id}: {how_often} times, {late} ms late"));
            }
            (push, how_often, Duration::from_millis(late))
        };
        sleep(late).await;
        for _ in 0..how_often {
            let mut state = self.state();
            match &push {
                News::Service(info, stamp) => {
                    state.say(id, How::Push, info, *stamp);
                    state.push(id, |request_id| NotifySubscriberRequest {
                        service_info: Some(info.clone()),
                        request_id: Some(request_id),
                        ..Default::default()
                    });
                }
                News::Config => state.push(id, |request_id| ConfigChangeNotifyRequest {
                    data_id: name.to_owned(),
                    group: "DEFAULT_GROUP".into(),
                    request_id: Some(request_id),
                    ..Default::default()
                }),
            }
        }
    }

    /// Drops who is silent, and finds who does not acknowledge or does not go.
    pub(crate) async fn watch_over(self) {
        loop {
            sleep(Duration::from_secs(1)).await;
            let mut state = self.state();
            let now = Instant::now();
            let (mut silent, mut problems) = (Vec::new(), Vec::new());
            for (id, connection) in &mut state.connections {
                if now - connection.latest_request > SILENCE {
                    silent.push(*id);
                }
                let is_sound = !connection.pipe.is_frozen() && connection.stream.is_some();
                if is_sound && (connection.sent_away).is_some_and(|at| now - at >= ACKNOWLEDGED) {
                    problems.push(format!("connection {id} stays although it was sent away"));
                }
                connection.unacknowledged.retain(|push, at| {
                    let is_late = now - *at >= ACKNOWLEDGED;
                    if is_late && is_sound {
                        problems.push(format!("push {push} to {id} was not acknowledged"));
                    }
                    !is_late
                });
            }
            state.problems.append(&mut problems);
            drop(state);
            silent.into_iter().for_each(|id| self.drop_connection(id));
        }
    }
}

impl State {
    fn news(&mut self, server: usize, name: &str) -> News {
        if name.ends_with(".yaml") {
            return News::Config;
        }
        let stamp = self.next_stamp();
        News::Service(
            self.view(server, name, self.schedule.pushes_disabled),
            stamp,
        )
    }

    fn push<P: Push>(&mut self, id: u64, make: impl Fn(String) -> P) {
        self.next_push += 1;
        let push = self.next_push.to_string();
        self.note(|| format!("push {push} to {id}: {}", P::KIND));
        let payload = Payload::new(&make(push.clone()));
        if let Some(connection) = self.connections.get_mut(&id)
            && let Some(stream) = &connection.stream
            && stream.try_send(Ok(payload)).is_ok()
        {
            connection.unacknowledged.insert(push, Instant::now());
            if P::KIND == ConnectResetRequest::KIND {
                connection.sent_away.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Whether all that changed was told.
    pub(crate) fn is_told(&self) -> bool {
        self.connections.values().all(|c| c.pending.is_empty())
    }
}
