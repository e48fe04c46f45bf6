//! Ports by the names of services, as the system lists them.

use std::fs;

/// Where systems keep the list.
const SERVICES: &str = "/etc/services";

/// The tcp port of a service, if the system knows it.
pub(super) fn port(name: &str) -> Option<u16> {
    find(&fs::read_to_string(SERVICES).ok()?, name)
}

/// Each line is a name, a port with its protocol, and further names; what follows a `#` is a comment.
fn find(list: &str, name: &str) -> Option<u16> {
    list.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let (official, port) = (words.next()?, words.next()?.strip_suffix("/tcp")?);
        let named = official == name || words.any(|alias| alias == name);
        if named { port.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# comment\n\
        domain\t53/udp\n\
        domain\t53/tcp\n\
        http\t80/tcp\twww web # also www-http\n\
        broken\n\
        beyond\t99999/tcp\n";

    #[test]
    fn a_service_is_found_by_any_of_its_names() {
        for (name, port) in [("domain", 53), ("http", 80), ("www", 80), ("web", 80)] {
            assert_eq!(find(LIST, name), Some(port), "{name}");
        }
    }

    #[test]
    fn comments_and_lines_that_are_not_understood_name_nothing() {
        for name in ["www-http", "#", "broken", "beyond", "80/tcp", "ht"] {
            assert_eq!(find(LIST, name), None, "{name}");
        }
    }
}
