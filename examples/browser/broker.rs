//! The broker that the other page is a client of.

use wirebird::EndpointOptions;
use wirebird::broker::{Broker, HandlerError, QueueType, Result, Status};

/// A broker that runs until this is dropped, and where.
pub(crate) struct Served {
    #[cfg_attr(not(test), expect(dead_code, reason = "it only has to live"))]
    pub(crate) broker: Broker,
    pub(crate) url: String,
}

/// Starts it at an address for pages of one origin. Others would let any page in the world use it.
pub(crate) fn start(address: &str, origin: &str) -> Result<Served> {
    let broker = Broker::new()?;
    broker.create_queue("browser/jobs", 100, QueueType::Bounded)?;
    broker.create_topic("browser/news")?;
    broker.create_function("browser/shout", |request| {
        let text = request.payload_text().unwrap_or_default().to_uppercase();
        if text.trim().is_empty() {
            let why = "there is nothing to shout";
            return Err(HandlerError::new(Status::BadRequest, why));
        }
        Ok(Some(request.reply(Status::Ok, text)))
    })?;
    let listener = broker.listener(address)?;
    listener.set_options(&EndpointOptions::new().ws_origins([origin]))?;
    listener.start()?;
    let url = listener.url();
    Ok(Served { broker, url })
}
