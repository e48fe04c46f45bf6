//! A connection to a broker, without any library.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::Result;

/// After how long without a byte a broker counts as dead.
const PATIENCE: Duration = Duration::from_secs(10);

pub enum Either {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for Either {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Unix(stream) => stream.read(bytes),
        }
    }
}

/// What is read is read ahead; what is written is written at once.
pub struct Stream {
    reader: BufReader<Either>,
    line: String,
}

impl Stream {
    pub fn connect(address: &str, read_ahead: usize) -> Result<Self> {
        let either = match address.split_once("://") {
            Some(("tcp", place)) => {
                let stream = TcpStream::connect(place)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Either::Tcp(stream)
            }
            Some(("ipc", path)) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Either::Unix(stream)
            }
            _ => return Err(format!("{address} is neither tcp nor ipc").into()),
        };
        Ok(Self {
            reader: BufReader::with_capacity(read_ahead, either),
            line: String::new(),
        })
    }

    pub fn is_unix(&self) -> bool {
        matches!(self.reader.get_ref(), Either::Unix(_))
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self.reader.get_mut() {
            Either::Tcp(stream) => stream.write_all(bytes)?,
            Either::Unix(stream) => stream.write_all(bytes)?,
        }
        Ok(())
    }

    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads over so many bytes.
    pub fn skip(&mut self, mut count: usize) -> Result<()> {
        while count > 0 {
            let there = self.reader.fill_buf()?.len().min(count);
            if there == 0 {
                return Err("the broker has closed the connection".into());
            }
            self.reader.consume(there);
            count -= there;
        }
        Ok(())
    }

    /// The next line, without its end.
    pub fn line(&mut self) -> Result<&str> {
        self.line.clear();
        if self.reader.read_line(&mut self.line)? == 0 {
            return Err("the broker has closed the connection".into());
        }
        Ok(self.line.trim_end())
    }
}
