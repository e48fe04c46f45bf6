//! Topics: fed by pub peers, fanned out to sub peers.

use std::sync::Arc;

use super::link::Link;
use crate::broker::message::{Message as Letter, MessageType};
use crate::{Message, Pub, Sub};

/// Publishes what pub peers send. What the broker refuses is lost, as publications are that nobody can take.
pub(super) async fn feed(sub: Sub, link: Arc<Link>) -> Option<()> {
    loop {
        let message = sub.recv_async().await.ok()?;
        let Some(publication) = link.request(MessageType::Publish, message) else {
            continue;
        };
        let answer = link.ask(publication).await?.letter;
        if !link.shown.judge(&answer) {
            let text = answer.payload_text().unwrap_or_default();
            let name = answer.status().name();
            link.shown.refused(format!("{name}: {text}"));
        }
    }
}

/// Sends publications to sub peers. A slow one misses its oldest. The subscription is in force when this returns.
pub(super) fn fan_out(
    publisher: Pub,
    link: Arc<Link>,
    prefix: bool,
) -> impl Future<Output = Option<()>> + Send {
    let subscribe = |link: &Link| link.begin(link.bare(MessageType::Subscribe)?);
    let mut asked = subscribe(&link);
    async move {
        loop {
            let answer = link.inbox.answer(asked?).await?.letter;
            if link.shown.judge(&answer) {
                while let Some(publication) = link.publication().await? {
                    let body = body(publication.message(), prefix);
                    publisher.try_send(body).ok()?;
                    link.shown.sent();
                }
            } else {
                link.pause().await?;
            }
            asked = subscribe(&link);
        }
    }
}

/// What a sub peer gets of a publication: the payload, behind the topic and a zero byte if that is asked for.
fn body(publication: &Letter, prefix: bool) -> Message {
    let payload = publication.payload_binary();
    if !prefix {
        return payload.clone().into();
    }
    let topic = publication.destination().unwrap_or_default();
    [topic.as_bytes(), &[0], payload].concat().into()
}
