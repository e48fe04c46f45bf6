//! A broker that says what the test tells it, where an order of events matters that a real one would leave to chance; and
//! clients for it.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use wirebird::broker::{
    Client, ClientOptions, Encoding, Message, MessageType, RetryPolicy, Status, decode, encode,
};
use wirebird::{EndpointOptions, Pair1, SocketOptions};

use super::SOON;

/// A broker that says what the test tells it.
pub(crate) struct Scripted {
    pub(crate) socket: Pair1,
    pub(crate) url: String,
}

impl Scripted {
    pub(crate) fn new() -> Self {
        Self::at("tcp://127.0.0.1:0")
    }

    pub(crate) fn at(url: &str) -> Self {
        let options = SocketOptions::new().recv_timeout(SOON).send_timeout(SOON);
        let socket = Pair1::with_options(&options).unwrap();
        let url = socket.listen(url).unwrap().url();
        Self { socket, url }
    }

    pub(crate) fn next(&self) -> Message {
        let message = self.socket.recv().expect("a request");
        decode(message.body().to_vec()).expect("readable").0
    }

    pub(crate) fn next_of(&self, kind: MessageType) -> Message {
        let request = self.next();
        assert_eq!(request.kind(), kind, "{request:?}");
        request
    }

    pub(crate) fn send(&self, message: &Message) {
        let bytes = encode(message, Encoding::Binary);
        self.socket.send(bytes).unwrap();
    }

    pub(crate) fn answer(&self, request: &Message, status: Status, text: &str) {
        self.send(&request.reply(status, text));
    }

    /// A client of it.
    pub(crate) fn accept(&self, options: &ClientOptions) -> Client {
        let (url, options) = (self.url.clone(), options.clone());
        let connecting = thread::spawn(move || Client::connect_with(&url, &options));
        // Each connection asks, and so does who waits for it.
        self.configure();
        self.configure();
        connecting.join().unwrap().expect("connects")
    }

    /// Answers a client that asks for the configuration.
    pub(crate) fn configure(&self) {
        let mut ask = self.next();
        while ask.kind() == MessageType::Heartbeat {
            ask = self.next();
        }
        assert_eq!(ask.kind(), MessageType::ClientConfig, "{ask:?}");
        let config = serde_json::json!({"authentication": false, "dedupe-window-seconds": 120});
        let answer = Message::data(None, "", config).unwrap();
        self.send(&answer.into_response(ask.id(), Status::Ok));
    }
}

/// Options of a client that soon comes back.
pub(crate) fn quick() -> ClientOptions {
    let endpoint = EndpointOptions::new()
        .reconnect_min(Duration::from_millis(2))
        .reconnect_max(Duration::from_millis(20));
    ClientOptions::new().endpoint(endpoint)
}

/// A policy under which a request is made again soon.
pub(crate) fn persistent() -> RetryPolicy {
    RetryPolicy::new()
        .attempts(10)
        .first_pause(Duration::from_millis(1))
}

pub(crate) fn text(text: &str) -> Message {
    Message::plain_text("1", "test", text).unwrap()
}

pub(crate) fn read(message: &Message) -> String {
    message.payload_text().unwrap().into_owned()
}

/// Calls on another thread.
pub(crate) fn in_background<T: Send + 'static>(
    client: &Client,
    call: impl FnOnce(Client) -> T + Send + 'static,
) -> JoinHandle<T> {
    let client = client.clone();
    thread::spawn(move || call(client))
}
