//! The grammar of nngcat's command line: which option a word means, and where its value is.
//!
//! A long option may be cut short as long as only one has that beginning. Its value follows a `=` or a `:` or is the
//! next word; a short option's value follows directly or is the next word. Short options do not cluster. The first
//! word that is not an option ends them, as `-` and `--` do; what follows is ignored.

/// One option.
#[derive(Debug)]
pub(super) struct Spec<T> {
    pub(super) long: &'static str,
    pub(super) short: Option<u8>,
    pub(super) has_value: bool,
    pub(super) id: T,
}

/// Why a word cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadWord {
    Invalid,
    Ambiguous,
    ValueMissing,
}

/// Reads the next option off the front of `words`: which it is, and its value, empty for an option that takes none.
/// `None` is the end of the options.
pub(super) fn next<'a, T: Copy>(
    specs: &[Spec<T>],
    words: &mut &'a [Vec<u8>],
) -> Result<Option<(T, &'a [u8])>, BadWord> {
    let Some((word, rest)) = words.split_first() else {
        return Ok(None);
    };
    let (spec, attached) = match word.as_slice() {
        b"-" | b"--" => return Ok(None),
        [b'-', b'-', long @ ..] => {
            let end = long.iter().position(|b| matches!(b, b'=' | b':'));
            let (name, value) = match end {
                Some(end) => (&long[..end], Some(&long[end + 1..])),
                None => (long, None),
            };
            (find_long(specs, name)?, value)
        }
        [b'-', short, value @ ..] => {
            let spec = specs.iter().find(|spec| spec.short == Some(*short));
            let attached = (!value.is_empty()).then_some(value);
            (spec.ok_or(BadWord::Invalid)?, attached)
        }
        _ => return Ok(None),
    };
    *words = rest;
    let value = match (spec.has_value, attached) {
        (false, None) => &[],
        (false, Some(_)) => return Err(BadWord::Invalid),
        (true, Some(value)) => value,
        (true, None) => {
            let (value, rest) = rest.split_first().ok_or(BadWord::ValueMissing)?;
            *words = rest;
            value
        }
    };
    Ok(Some((spec.id, value)))
}

fn find_long<'s, T>(specs: &'s [Spec<T>], name: &[u8]) -> Result<&'s Spec<T>, BadWord> {
    if let Some(exact) = specs.iter().find(|spec| spec.long.as_bytes() == name) {
        return Ok(exact);
    }
    let mut begun = specs
        .iter()
        .filter(|spec| spec.long.as_bytes().starts_with(name));
    match (begun.next(), begun.next()) {
        (None, _) => Err(BadWord::Invalid),
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(BadWord::Ambiguous),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: [Spec<char>; 5] = [
        Spec {
            long: "verbose",
            short: Some(b'v'),
            has_value: false,
            id: 'v',
        },
        Spec {
            long: "version",
            short: None,
            has_value: false,
            id: 'n',
        },
        Spec {
            long: "sub",
            short: None,
            has_value: false,
            id: 's',
        },
        Spec {
            long: "subscribe",
            short: None,
            has_value: true,
            id: 'b',
        },
        Spec {
            long: "data",
            short: Some(b'D'),
            has_value: true,
            id: 'd',
        },
    ];

    type Read = Result<Vec<(char, String)>, BadWord>;

    fn read(line: &[&str]) -> Read {
        let words: Vec<_> = line.iter().map(|word| word.as_bytes().to_vec()).collect();
        let mut words = words.as_slice();
        let mut options = Vec::new();
        while let Some((id, value)) = next(&SPECS, &mut words)? {
            options.push((id, String::from_utf8_lossy(value).into()));
        }
        Ok(options)
    }

    fn one(id: char, value: &str) -> Read {
        Ok(vec![(id, value.into())])
    }

    #[test]
    fn values_are_attached_or_follow() {
        for line in [
            &["--data=x"][..],
            &["--data:x"],
            &["--data", "x"],
            &["-Dx"],
            &["-D", "x"],
        ] {
            assert_eq!(read(line), one('d', "x"), "{line:?}");
        }
        assert_eq!(read(&["--data="]), one('d', ""));
        assert_eq!(read(&["--data", ""]), one('d', ""));
        assert_eq!(read(&["--data", "--sub"]), one('d', "--sub"));
        assert_eq!(read(&["--data:a=b:c"]), one('d', "a=b:c"));
        assert_eq!(read(&["-D=x"]), one('d', "=x"));
    }

    #[test]
    fn a_value_must_be_there() {
        assert_eq!(read(&["--data"]), Err(BadWord::ValueMissing));
        assert_eq!(read(&["-D"]), Err(BadWord::ValueMissing));
    }

    #[test]
    fn a_flag_takes_no_value() {
        assert_eq!(read(&["--verbose=1"]), Err(BadWord::Invalid));
        assert_eq!(read(&["--verbose="]), Err(BadWord::Invalid));
    }

    #[test]
    fn a_beginning_is_enough_when_only_one_option_has_it() {
        assert_eq!(read(&["--verb"]), one('v', ""));
        assert_eq!(read(&["--subs", "x"]), one('b', "x"));
        assert_eq!(read(&["--d=x"]), one('d', "x"));
        assert_eq!(read(&["--ver"]), Err(BadWord::Ambiguous));
        assert_eq!(read(&["--su"]), Err(BadWord::Ambiguous));
        assert_eq!(read(&["--=x"]), Err(BadWord::Ambiguous));
    }

    #[test]
    fn a_full_name_wins_over_a_longer_one() {
        assert_eq!(read(&["--sub"]), one('s', ""));
    }

    #[test]
    fn unknown_options_are_invalid() {
        for word in ["--bogus", "--versions", "--Data=x", "-z", "-d"] {
            assert_eq!(read(&[word]), Err(BadWord::Invalid), "{word}");
        }
    }

    #[test]
    fn short_options_do_not_cluster() {
        assert_eq!(read(&["-vv"]), Err(BadWord::Invalid));
        assert_eq!(read(&["-vD", "x"]), Err(BadWord::Invalid));
    }

    #[test]
    fn what_is_no_option_ends_them() {
        for end in ["--", "-", "word", ""] {
            assert_eq!(read(&["-v", end, "--bogus"]), one('v', ""), "{end:?}");
        }
    }
}
