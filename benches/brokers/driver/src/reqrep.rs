//! A bare req and rep: what a round trip takes without a broker.

use std::time::Duration;

use wirebird::{Message, Rep, Req};

use crate::load::Work;
use crate::{Args, Result, hold, say};

/// Answers each request with nothing, until standard input ends. Listens, or is a broker's worker.
pub fn serve(args: &Args) -> Result<()> {
    let rep = Rep::new()?;
    if args.work == "work" {
        rep.dial(&args.address)?;
    } else {
        rep.listen(&args.address)?;
    }
    std::thread::spawn(move || while rep.recv().is_ok() && rep.send(Message::new()).is_ok() {});
    say("{}")?;
    hold()
}

pub struct Asking {
    req: Req,
    body: Vec<u8>,
}

impl Asking {
    pub fn new(args: &Args, _: usize) -> Result<Self> {
        let req = Req::new()?;
        req.dial(&args.address)?;
        Ok(Self {
            req,
            body: args.body(),
        })
    }
}

impl Work for Asking {
    fn round(&mut self) -> Result<u64> {
        self.req.send(&self.body[..])?;
        self.req.recv_timeout(Duration::from_secs(10))?;
        Ok(1)
    }
}
