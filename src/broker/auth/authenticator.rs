//! Users with their passwords and rights, as a broker asks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::acl::{Acl, AclEntry, Action, DestinationType, Mode};
use super::attempts::Attempts;
use super::cidr::Network;
use super::error::AuthError;
use super::file;
use super::password::{DEFAULT_ROUNDS, Hash};
use crate::engine::lock;

type Result<T, E = AuthError> = std::result::Result<T, E>;

const USER: &str = "1 to 100 characters, no control characters and not only spaces,";
const PASSWORD: &str = "1 to 200 characters, no control characters and not only spaces,";
const LONGEST_USER: usize = 100;
const LONGEST_PASSWORD: usize = 200;

/// What a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Role {
    /// A user may do what its rights allow.
    #[default]
    User,
    /// An administrator may do everything, and make and remove queues and topics.
    Admin,
}

/// A user that an [`Authenticator`] knows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
}

/// Users with their passwords, what each may do, and the networks that clients may come from.
///
/// A broker that is given one lets clients do nothing before they log in. A clone is another handle of the same
/// authenticator: what is changed is in force at once, in a broker that uses it too.
///
/// Of passwords only hashes are kept: PBKDF2-HMAC-SHA512 with a random salt. Making and checking one takes a good part
/// of a second.
///
/// What a user may do with a destination is said by, in this order:
///
/// 1. its role: an administrator may do everything;
/// 2. its right for that destination, which decides alone;
/// 3. its rights for patterns that match, the most specific ones: if there are several, all have to allow it;
/// 4. the default for destinations of the type. At the beginning everything is allowed.
///
/// Temporary queues have no rights: any user may offer to one, whose name cannot be guessed, and only the client that
/// made it may poll it.
///
/// ```
/// use wirebird::broker::{Action, Authenticator, DestinationType, Mode, Role};
///
/// let auth = Authenticator::new();
/// auth.add_credentials("root", "correct horse", Role::Admin)?;
/// auth.add_credentials("worker", "battery staple", Role::User)?;
/// auth.set_default_acl(DestinationType::Queue, Mode::Deny)?;
/// auth.set_acl(DestinationType::Queue, "jobs", Mode::Read, "worker")?;
/// assert!(auth.allows("worker", Action::Poll, "jobs"));
/// assert!(!auth.allows("worker", Action::Offer, "jobs"));
/// assert!(auth.allows("root", Action::Offer, "jobs"));
/// # Ok::<(), wirebird::broker::AuthError>(())
/// ```
#[derive(Clone)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

struct Shared {
    rounds: NonZeroU32,
    // Neither is held while something takes long.
    state: Mutex<State>,
    attempts: Mutex<Attempts>,
}

/// What is stored in a file.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) acl: Acl,
    pub(super) networks: BTreeSet<Network>,
}

#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) hash: Hash,
    pub(super) role: Role,
}

/// How an attempt to log in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Login {
    Welcome,
    Wrong,
    /// There were too many attempts; the password was not looked at.
    TooMany,
    /// There are too many clients to look at now.
    Busy,
}

impl Default for Authenticator {
    fn default() -> Self {
        Self::new()
    }
}

impl Authenticator {
    /// An authenticator that knows nobody, and allows everything to those it will know.
    #[must_use]
    pub fn new() -> Self {
        Self::holding(State::default(), DEFAULT_ROUNDS)
    }

    /// As [`new`](Self::new), with a number of rounds for the hashes of passwords that are set from now on: 1 or more,
    /// default [`DEFAULT_ROUNDS`]. Fewer than that are for tests only; each user's hash keeps its number.
    #[must_use]
    pub fn with_rounds(rounds: u32) -> Self {
        Self::holding(State::default(), rounds)
    }

    fn holding(state: State, rounds: u32) -> Self {
        Self {
            shared: Arc::new(Shared {
                rounds: NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN),
                state: Mutex::new(state),
                attempts: Mutex::default(),
            }),
        }
    }

    // ---- users ----

    /// Adds a user, or gives a known one another password and role. Who is logged in stays so.
    ///
    /// # Errors
    ///
    /// [`AuthError::BadUser`] and [`AuthError::BadPassword`] for one that is blank, has control characters, or is longer
    /// than 100 or 200 characters; [`AuthError::NoRandom`].
    pub fn add_credentials(&self, user: &str, password: &str, role: Role) -> Result<()> {
        check_user(user)?;
        check_password(password)?;
        let hash = Hash::new(password, self.shared.rounds).map_err(|_| AuthError::NoRandom)?;
        let account = Account { hash, role };
        lock(&self.shared.state)
            .accounts
            .insert(user.into(), account);
        Ok(())
    }

    /// Removes a user; clients that are logged in as it are no longer. Its rights stay, for when it is added again.
    /// Returns whether there was one.
    pub fn remove_credentials(&self, user: &str) -> bool {
        lock(&self.shared.state).accounts.remove(user).is_some()
    }

    /// Removes all users.
    pub fn clear_credentials(&self) {
        lock(&self.shared.state).accounts.clear();
    }

    /// The users, by name.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        let state = lock(&self.shared.state);
        let users = state.accounts.iter().map(|(name, account)| User {
            name: name.clone(),
            role: account.role,
        });
        users.collect()
    }

    /// The role of a user, if there is one of this name.
    #[must_use]
    pub fn role(&self, user: &str) -> Option<Role> {
        let state = lock(&self.shared.state);
        state.accounts.get(user).map(|account| account.role)
    }

    /// Whether this is the password of that user. Takes a good part of a second, whether there is such a user or not.
    #[must_use]
    pub fn verify(&self, user: &str, password: &str) -> bool {
        let account = lock(&self.shared.state).accounts.get(user).cloned();
        match account {
            Some(account) => account.hash.verify(password),
            None => {
                Hash::dummy(self.shared.rounds).verify(password);
                false
            }
        }
    }

    /// As [`verify`](Self::verify), for somebody who may try a number of times only.
    pub(in crate::broker) fn log_in(
        &self,
        user: &str,
        password: &str,
        source: Option<IpAddr>,
        now: Instant,
    ) -> Login {
        if !lock(&self.shared.attempts).permits(user, source, now) {
            return Login::TooMany;
        }
        if self.verify(user, password) {
            return Login::Welcome;
        }
        lock(&self.shared.attempts).failed(user, source, now);
        Login::Wrong
    }

    // ---- rights ----

    /// Sets what those may do with destinations of a type who have no right that says otherwise. It is everything at the
    /// beginning; with [`Mode::Deny`] for all three types nothing is allowed that is not said to be.
    ///
    /// # Errors
    ///
    /// [`AuthError::BadMode`] for a mode that the type does not have.
    pub fn set_default_acl(&self, destination_type: DestinationType, mode: Mode) -> Result<()> {
        let mut state = lock(&self.shared.state);
        state.acl.set_default(destination_type, mode)
    }

    /// What [`set_default_acl`](Self::set_default_acl) has set.
    #[must_use]
    pub fn default_acl(&self, destination_type: DestinationType) -> Mode {
        lock(&self.shared.state).acl.default_mode(destination_type)
    }

    /// Sets the right of a user for a destination, in place of the one it had. The name may be a pattern; neither the
    /// destination nor the user needs to exist.
    ///
    /// # Errors
    ///
    /// [`AuthError::BadMode`] for a mode that the type does not have, [`AuthError::BadDestination`],
    /// [`AuthError::BadUser`].
    pub fn set_acl(
        &self,
        destination_type: DestinationType,
        name: &str,
        mode: Mode,
        user: &str,
    ) -> Result<()> {
        check_user(user)?;
        let mut state = lock(&self.shared.state);
        state.acl.set(destination_type, name, mode, user)
    }

    /// Removes rights for a type: for one destination or all of them, of one user or all of them. Returns how many.
    pub fn remove_acl(
        &self,
        destination_type: DestinationType,
        name: Option<&str>,
        user: Option<&str>,
    ) -> usize {
        let mut state = lock(&self.shared.state);
        state.acl.remove(destination_type, name, user)
    }

    /// The rights, by type, user and name.
    #[must_use]
    pub fn acls(&self) -> Vec<AclEntry> {
        lock(&self.shared.state).acl.entries().collect()
    }

    /// Whether a user may do something with a destination. One that is not known may do nothing.
    #[must_use]
    pub fn allows(&self, user: &str, action: Action, name: &str) -> bool {
        let state = lock(&self.shared.state);
        match state.accounts.get(user).map(|account| account.role) {
            None => false,
            Some(Role::Admin) => true,
            Some(Role::User) => state.acl.allows(user, action, name),
        }
    }

    // ---- networks ----

    /// Lets clients connect that come from a network: an address, or one with a prefix as `10.0.0.0/8`. As long as there
    /// is none, all may. Clients within the machine, by ipc, abstract or inproc, always may, and who is connected
    /// stays so.
    ///
    /// ```
    /// use wirebird::broker::Authenticator;
    ///
    /// let auth = Authenticator::new();
    /// auth.allow_network("10.0.0.0/8")?;
    /// auth.allow_network("::1")?;
    /// assert!(auth.allows_address("10.1.2.3".parse().unwrap()));
    /// assert!(!auth.allows_address("192.168.0.1".parse().unwrap()));
    /// # Ok::<(), wirebird::broker::AuthError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AuthError::BadNetwork`].
    pub fn allow_network(&self, network: &str) -> Result<()> {
        let network = parse_network(network)?;
        lock(&self.shared.state).networks.insert(network);
        Ok(())
    }

    /// Takes a network from those that clients may come from. Returns whether it was one. When the last one is gone,
    /// clients may come from everywhere.
    ///
    /// # Errors
    ///
    /// [`AuthError::BadNetwork`].
    pub fn remove_network(&self, network: &str) -> Result<bool> {
        let network = parse_network(network)?;
        Ok(lock(&self.shared.state).networks.remove(&network))
    }

    /// Lets clients come from everywhere.
    pub fn clear_networks(&self) {
        lock(&self.shared.state).networks.clear();
    }

    /// The networks that clients may come from; none means all.
    #[must_use]
    pub fn networks(&self) -> Vec<String> {
        let state = lock(&self.shared.state);
        state.networks.iter().map(Network::to_string).collect()
    }

    /// Whether a client of this address may connect. An IPv4 address that is mapped into IPv6 counts as what it stands
    /// for.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr) -> bool {
        let state = lock(&self.shared.state);
        state.networks.is_empty() || state.networks.iter().any(|one| one.contains(address))
    }

    // ---- files ----

    /// Writes everything into a file, as JSON. The file is replaced as a whole, and only its owner may read it.
    ///
    /// # Errors
    ///
    /// [`AuthError::File`].
    pub fn store(&self, path: impl AsRef<Path>) -> Result<()> {
        let state = lock(&self.shared.state).clone();
        file::store(&state, path.as_ref())
    }

    /// An authenticator with what was [stored](Self::store) in a file.
    ///
    /// ```
    /// use wirebird::broker::{Authenticator, Role};
    ///
    /// let directory = tempfile::tempdir()?;
    /// let file = directory.path().join("users.json");
    /// let auth = Authenticator::new();
    /// auth.add_credentials("worker", "battery staple", Role::User)?;
    /// auth.store(&file)?;
    /// assert!(Authenticator::load(&file)?.verify("worker", "battery staple"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AuthError::File`], with [`Exposed`](super::FileFault::Exposed) if others than its owner may read or write the
    /// file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::holding(file::load(path.as_ref())?, DEFAULT_ROUNDS))
    }

    /// Puts what is in a file in place of everything, at once for whoever uses the authenticator.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); then everything stays as it was.
    pub fn reload(&self, path: impl AsRef<Path>) -> Result<()> {
        let state = file::load(path.as_ref())?;
        *lock(&self.shared.state) = state;
        Ok(())
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

fn parse_network(text: &str) -> Result<Network> {
    text.parse()
        .map_err(|()| AuthError::BadNetwork(text.chars().take(80).collect()))
}

/// Refuses what is no name of a user.
pub(in crate::broker) fn check_user(user: &str) -> Result<()> {
    if is_usable(user, LONGEST_USER) {
        return Ok(());
    }
    Err(AuthError::BadUser {
        user: user.chars().take(LONGEST_USER).collect(),
        allowed: USER,
    })
}

/// Refuses what is no password.
pub(in crate::broker) fn check_password(password: &str) -> Result<()> {
    if is_usable(password, LONGEST_PASSWORD) {
        return Ok(());
    }
    Err(AuthError::BadPassword { allowed: PASSWORD })
}

/// Neither blank nor too long, and nothing in it that would end a line.
fn is_usable(text: &str, longest: usize) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= longest
        && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn few() -> Authenticator {
        Authenticator::with_rounds(1)
    }

    const HERE: Option<IpAddr> = None;

    /// F121.
    #[test]
    fn a_user_has_the_password_and_role_that_it_was_given_last() {
        let auth = few();
        auth.add_credentials("u", "one", Role::User).unwrap();
        auth.add_credentials("u", "two", Role::Admin).unwrap();
        assert!(auth.verify("u", "two") && !auth.verify("u", "one"));
        assert_eq!(auth.role("u"), Some(Role::Admin));
        assert!(auth.remove_credentials("u") && !auth.remove_credentials("u"));
        assert!(!auth.verify("u", "two") && auth.users().is_empty());
    }

    #[test]
    fn blank_and_long_names_and_passwords_and_those_with_line_breaks_are_refused() {
        let auth = few();
        for user in ["", "  ", "a\nb", "a\0", &"x".repeat(101)] {
            let error = auth.add_credentials(user, "pw", Role::User).unwrap_err();
            assert!(matches!(error, AuthError::BadUser { .. }), "{error}");
        }
        for password in ["", " ", "hidden\r", &"hidden".repeat(40)] {
            let error = auth.add_credentials("u", password, Role::User).unwrap_err();
            assert!(matches!(error, AuthError::BadPassword { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("hidden"));
        }
        let (user, password) = ("\u{e9}".repeat(100), "\u{e9}".repeat(200));
        auth.add_credentials(&user, &password, Role::User).unwrap();
    }

    #[test]
    fn who_fails_too_often_is_not_looked_at_until_time_has_passed() {
        let auth = few();
        auth.add_credentials("u", "pw", Role::User).unwrap();
        let now = Instant::now();
        let attempt = |password, now| auth.log_in("u", password, HERE, now);
        for _ in 0..100 {
            assert_eq!(attempt("pw", now), Login::Welcome, "success costs nothing");
        }
        let failures = (0..100).take_while(|_| attempt("no", now) == Login::Wrong);
        assert_eq!(failures.count(), 20);
        assert_eq!(attempt("pw", now), Login::TooMany);
        let later = now + std::time::Duration::from_secs(5);
        assert_eq!(attempt("pw", later), Login::Welcome);
    }

    #[test]
    fn unknown_users_may_do_nothing_and_administrators_everything() {
        let auth = few();
        auth.add_credentials("root", "pw", Role::Admin).unwrap();
        auth.set_default_acl(DestinationType::Queue, Mode::Deny)
            .unwrap();
        auth.set_acl(DestinationType::Queue, "q", Mode::Deny, "root")
            .unwrap();
        assert!(auth.allows("root", Action::Poll, "q"));
        assert!(!auth.allows("nobody", Action::Execute, "f"));
    }
}
