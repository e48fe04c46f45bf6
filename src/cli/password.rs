//! Passwords that are read from where nobody looks over the shoulder.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// Longest line that is read as a password, far beyond what is accepted as one.
const LONGEST: u64 = 4096;

/// The first line of a file.
pub(super) fn in_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| format!("Cannot read {shown}: {error}"))?;
    match first_line(&mut BufReader::new(file)) {
        Ok(Some(line)) => Ok(line),
        Ok(None) => Err(format!("There is no password in {shown}")),
        Err(error) => Err(format!("Cannot read {shown}: {error}")),
    }
}

/// The first line without its end; `None` if there is nothing.
pub(super) fn first_line(input: &mut impl BufRead) -> std::io::Result<Option<Zeroizing<String>>> {
    let mut text = Zeroizing::new(String::new());
    let read = input.take(LONGEST).read_line(&mut text)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Ok((read > 0).then(|| Zeroizing::new(line.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_first_line_without_its_end() {
        for text in [
            "pass word",
            "pass word\n",
            "pass word\r\n",
            "pass word\nmore",
        ] {
            let line = first_line(&mut text.as_bytes()).unwrap().unwrap();
            assert_eq!(*line, "pass word", "{text:?}");
        }
        assert_eq!(first_line(&mut &b""[..]).unwrap(), None);
        assert!(first_line(&mut &b"\xff\n"[..]).is_err());
    }
}
