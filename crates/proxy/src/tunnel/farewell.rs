//! How a WebSocket ends when the gateway does: each side gets a Close frame after
//! the last whole frame from the other side, and some time to answer it.

use std::time::Duration;

use tokio::sync::watch;

use super::frames::Frames;

/// How long both sides have for their Close frames. Most answer a Close at once, and
/// servers wait for 5 s to 30 s (Jetty, `ws`). The deadline of the shutdown may be
/// sooner, and cuts what is left.
pub(super) const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Whose bytes a direction carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Client,
    Endpoint,
}

impl To {
    /// A Close frame with status 1001, "going away" (RFC 6455 section 7.4.1). What
    /// a server is sent is masked (section 5.3); what is behind the mask is no
    /// secret.
    fn close(self) -> Vec<u8> {
        let [high, low] = 1001_u16.to_be_bytes();
        match self {
            To::Client => vec![0x88, 2, high, low],
            To::Endpoint => {
                let mask = fastrand::u32(..).to_be_bytes();
                let [a, b, c, d] = mask;
                vec![0x88, 0x82, a, b, c, d, high ^ a, low ^ b]
            }
        }
    }
}

/// The end of one direction of a WebSocket.
#[derive(Debug)]
pub(super) struct Farewell {
    frames: Frames,
    to: To,
    stopping: watch::Receiver<bool>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Everything passes.
    Passing,
    /// The gateway ends; the frame under way passes to its end.
    Finishing,
    /// The receiver has a Close frame. Nothing more passes.
    Told,
}

impl Farewell {
    pub(super) fn new(to: To, stopping: watch::Receiver<bool>) -> Farewell {
        Farewell {
            frames: Frames::default(),
            to,
            stopping,
            stage: Stage::Passing,
        }
    }

    /// Waits until the gateway ends; for ever if that is known already.
    pub(super) async fn begins(&mut self) {
        if self.stage != Stage::Passing || stopped(&mut self.stopping).await.is_none() {
            std::future::pending::<()>().await;
        }
        self.stage = Stage::Finishing;
    }

    /// Whether the sender's leaving is the end of it all: while the gateway ends, and when an endpoint has said Close. An
    /// endpoint leaves first (RFC 6455 section 7.1.1), whereas a client may still wait for the answer to its own Close.
    pub(super) fn is_last(&self) -> bool {
        self.stage != Stage::Passing || (self.to == To::Client && self.frames.has_closed())
    }

    /// How many of these bytes, the next of the sender, may pass.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> usize {
        match self.stage {
            Stage::Passing => {
                self.frames.follow(bytes);
                bytes.len()
            }
            Stage::Finishing if self.frames.is_between() => 0,
            Stage::Finishing => self.frames.follow_one(bytes),
            Stage::Told => 0,
        }
    }

    /// The Close frame that the receiver gets now, if it is time. If the sender's own
    /// Close has passed, none is needed.
    pub(super) fn close(&mut self) -> Option<Vec<u8>> {
        if self.stage != Stage::Finishing || !self.frames.is_between() {
            return None;
        }
        self.stage = Stage::Told;
        (!self.frames.has_closed()).then(|| self.to.close())
    }

    /// Takes bytes that may not pass any more, to find the sender's Close frame in them.
    pub(super) fn swallow(&mut self, bytes: &[u8]) {
        self.frames.follow(bytes);
    }

    /// Whether the receiver has a Close frame, and the sender has sent one.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Told && self.frames.has_closed()
    }
}

/// Waits until the gateway ends. Nothing if it is gone already.
async fn stopped(stopping: &mut watch::Receiver<bool>) -> Option<()> {
    stopping.wait_for(|stops| *stops).await.ok().map(drop)
}

/// Waits until a WebSocket has had its time to end after the gateway's end began.
pub(super) async fn overdue(mut stopping: watch::Receiver<bool>) {
    match stopped(&mut stopping).await {
        Some(()) => tokio::time::sleep(CLOSE_WAIT).await,
        None => std::future::pending().await,
    }
}
