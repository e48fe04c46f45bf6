//! Who may do what at a broker: passwords, access rights, and the networks that clients may come from.
//!
//! Nothing here knows sockets, threads or a clock. Passwords are hashed by whoever calls, which takes long by design:
//! never on a thread that moves messages.

mod acl;
mod attempts;
mod authenticator;
mod cidr;
mod error;
mod file;
mod password;

pub use acl::{AclEntry, Action, DestinationType, Mode};
pub use authenticator::{Authenticator, Role, User};
pub use error::{AuthError, FileFault};
pub use password::DEFAULT_ROUNDS;

pub(super) use authenticator::{Login, check_password, check_user};
pub(super) use file::{create_private, read_private};
