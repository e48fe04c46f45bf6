//! Survey: one question to everybody, and the answers that come in time.
//!
//! ```sh
//! cargo run --example survey [URL]
//! ```

use std::time::Duration;
use std::{env, thread};

use wirebird::{Error, Respondent, Result, SocketOptions, Surveyor};

fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    let options = SocketOptions::new().survey_time(Duration::from_millis(300));
    let surveyor = Surveyor::with_options(&options)?;
    let listener = surveyor.listen(&url)?;
    println!("the surveyor listens at {}", listener.url());

    let names = ["anna", "bert", "carl"];
    let respondents: Vec<_> = names
        .into_iter()
        .map(|name| {
            let url = listener.url();
            thread::spawn(move || respond(name, &url))
        })
        .collect();
    surveyor.wait_for_peers(names.len(), Duration::from_secs(10))?;

    surveyor.send("who is there?")?;
    let mut answers = 0;
    loop {
        match surveyor.recv() {
            Ok(answer) => {
                println!("answer: {}", answer.body().escape_ascii());
                answers += 1;
            }
            // The survey is over: who has not answered by now is not heard.
            Err(Error::TimedOut) => break,
            Err(error) => return Err(error),
        }
    }
    println!("{answers} of {} answered", names.len());
    for respondent in respondents {
        respondent.join().expect("a respondent does not panic")?;
    }
    Ok(())
}

fn respond(name: &str, url: &str) -> Result<()> {
    let respondent = Respondent::new()?;
    respondent.dial(url)?;
    let question = respondent.recv()?;
    println!("{name} was asked {}", question.body().escape_ascii());
    // Carl has nothing to say.
    if name != "carl" {
        respondent.send(format!("{name} is"))?;
    }
    Ok(())
}
