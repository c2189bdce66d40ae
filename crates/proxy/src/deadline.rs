//! A timer for deadlines that move.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

/// One timer for many deadlines, one after the other.
///
/// The timer is set again only when it fires early or is set too late. So
/// a deadline that moves with every request or every piece of a body costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready at `due`.
    pub(crate) fn poll_until(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let timer = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_deadline_that_was_asked_for_last_counts() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut timer = Timer::default();
        for (asked, due) in [(at(60), at(5)), (at(6), at(20)), (at(20), at(20))] {
            let polled = poll_fn(|cx| Poll::Ready(timer.poll_until(cx, asked).is_ready())).await;
            assert_eq!(polled, asked <= Instant::now());
            poll_fn(|cx| timer.poll_until(cx, due)).await;
            assert_eq!(begun.elapsed().as_secs(), (due - begun).as_secs());
        }
    }
}
