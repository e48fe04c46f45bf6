//! Queues: filled by push peers, drained by pull peers.

use std::sync::Arc;

use super::link::Link;
use crate::broker::message::{MessageType, Status};
use crate::{Error, Pull, Push};

/// For a request that waits as long as it takes.
const FOR_EVER: i64 = -1;

/// Offers what push peers send. While an offer waits nothing is read from them, so that they wait, too.
pub(super) async fn fill(pull: Pull, link: Arc<Link>) -> Option<()> {
    loop {
        let message = pull.recv_async().await.ok()?;
        let Some(offer) = link.request(MessageType::Offer, message) else {
            continue;
        };
        let offer = offer.with_timeout(FOR_EVER).ok()?;
        loop {
            let answer = link.ask(offer.clone()).await?.letter;
            if link.shown.judge(&answer) {
                break;
            }
            if answer.status() == Status::BadRequest {
                // The queue could not hold it if it were empty.
                let text = answer.payload_text().unwrap_or_default();
                let name = answer.status().name();
                link.shown.refused(format!("{name}: {text}"));
                break;
            }
            link.pause().await?;
        }
    }
}

/// Hands items to pull peers. None is taken before a peer has room for it; when that has gone meanwhile, the item
/// takes its place in the queue again.
pub(super) async fn drain(push: Push, link: Arc<Link>) -> Option<()> {
    loop {
        push.sendable().await.ok()?;
        let poll = link.bare(MessageType::Poll)?.with_timeout(FOR_EVER).ok()?;
        let answer = link.ask(poll).await?;
        link.shown.judge(&answer.letter);
        let Some(item) = answer.item else {
            link.pause().await?;
            continue;
        };
        match push.try_send(answer.letter.payload_binary().clone()) {
            Ok(()) => link.delivered(item),
            Err(failed) => {
                link.put_back(item);
                if failed.error == Error::Closed {
                    return None;
                }
            }
        }
    }
}
